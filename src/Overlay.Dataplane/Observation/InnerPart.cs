using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Observation;

/// <summary>Where a datagram holds its inner packet.</summary>
/// <param name="Start">Of the Ethernet frame, or of the bare IP packet; -1: it holds none that could be found.</param>
/// <param name="EtherType">Of a bare IP packet; 0 where an Ethernet frame is there.</param>
internal readonly record struct InnerPart(int Start, ushort EtherType)
{
    public static InnerPart None => new(-1, 0);

    /// <summary>Behind a tunnel header of known length.</summary>
    public static InnerPart Behind(ReadOnlySpan<byte> datagram, int headerLength, bool isBareIp)
    {
        if (datagram.Length <= headerLength) return None;
        if (!isBareIp) return new InnerPart(headerLength, 0);
        return new InnerPart(headerLength, datagram[headerLength] >> 4 == 4 ? EtherTypes.Ipv4 : EtherTypes.Ipv6);
    }

    /// <summary>By the header of a datagram that was received.</summary>
    /// <param name="isTunnelled">Whether it has one.</param>
    public static InnerPart Of(bool isTunnelled, in TunnelHeader tunnel)
    {
        if (!isTunnelled) return None;
        return tunnel.BareEtherType == 0
            ? new InnerPart(tunnel.FrameStart, 0)
            : new InnerPart(tunnel.FrameStart + EthernetFrame.MinHeaderLength, tunnel.BareEtherType);
    }

    /// <summary>In a datagram that was received, of no segment perhaps: by its own header.</summary>
    /// <param name="datagram">It may be cut short.</param>
    public static InnerPart Received(Encapsulation encapsulation, ReadOnlySpan<byte> datagram) => encapsulation switch
    {
        Encapsulation.Vxlan => Of(Vxlan.TryParse(datagram, out TunnelHeader vxlan, out _), vxlan),
        Encapsulation.Geneve => Of(Geneve.TryParse(datagram, out TunnelHeader geneve, out _), geneve),
        _ => Behind(datagram, 0, isBareIp: true),
    };

    public bool IsWanted(CaptureFilter filter, ReadOnlySpan<byte> datagram, UInt128 remote)
    {
        if (Start < 0 || Start > datagram.Length) return filter.TakesPacket(0, default, remote);
        return EtherType == 0 ? filter.TakesFrame(datagram[Start..], remote) : filter.TakesPacket(EtherType, datagram[Start..], remote);
    }
}
