using Overlay.Testing;

namespace Overlay.Bench.Inner;

/// <summary>Frames as workloads send them between this node and its peer.</summary>
internal static class InnerFrames
{
    private static readonly byte[] Timestamps = [1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4];

    /// <param name="ipv6">IPv6 rather than IPv4.</param>
    /// <param name="udp">UDP rather than TCP with timestamps.</param>
    /// <param name="payload">Bytes behind the transport header.</param>
    /// <param name="flow">Makes the source port.</param>
    public static InnerFrame Outgoing(bool ipv6, bool udp, int payload, int flow = 0) => new()
    {
        IsIpv6 = ipv6,
        IsUdp = udp,
        Source = ipv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
        Destination = ipv6 ? EgressLab.V6(2, 9) : EgressLab.V4(2, 9),
        SourcePort = (ushort)(40_000 + flow),
        TcpOptions = udp ? [] : Timestamps,
        Payload = new byte[payload],
    };

    /// <summary>The same, from the peer to us.</summary>
    public static InnerFrame Incoming(bool ipv6, bool udp, int payload, int flow = 0)
    {
        InnerFrame frame = Outgoing(ipv6, udp, payload, flow);
        return frame with { Source = frame.Destination, Destination = frame.Source };
    }
}
