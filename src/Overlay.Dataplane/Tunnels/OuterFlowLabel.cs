namespace Overlay.Dataplane.Tunnels;

/// <summary>IPv6 flow labels of tunnels without ports (RFC 6438, 3).</summary>
public static class OuterFlowLabel
{
    /// <summary>From the inner flow; 20 bits, never 0.</summary>
    /// <param name="flow">What would choose the source port.</param>
    public static uint OfIpInIp(ushort flow) => ((uint)flow + 1) * 0xff1 & 0xfffff;
}
