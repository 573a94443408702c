namespace Overlay.Dataplane.Tunnels;

/// <summary>What wraps inner packets.</summary>
public enum Encapsulation : byte
{
    /// <summary>RFC 7348.</summary>
    Vxlan,

    /// <summary>RFC 8926.</summary>
    Geneve,

    /// <summary>IP in IP without a header of its own (RFC 2003, 2473, 4213): no UDP, no VNI, no inner Ethernet header.</summary>
    IpInIp,
}
