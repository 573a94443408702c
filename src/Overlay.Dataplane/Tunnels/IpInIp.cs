using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Tunnels;

/// <summary>The version that the outer header announces of the packet inside it.</summary>
internal interface IInnerVersion
{
    static abstract ushort EtherType { get; }
}

/// <summary>IP protocol 4.</summary>
internal readonly struct Version4 : IInnerVersion
{
    public static ushort EtherType => EtherTypes.Ipv4;
}

/// <summary>IP protocol 41.</summary>
internal readonly struct Version6 : IInnerVersion
{
    public static ushort EtherType => EtherTypes.Ipv6;
}

/// <summary>
/// RFC 2003, 2473 and 4213: the inner packet follows the outer IP header. Its TTL is not touched by decapsulation; a packet whose TTL is 0, or
/// whose source cannot be one behind a tunnel, is dropped.
/// </summary>
internal readonly struct IpInIp<TVersion> : IEncapsulation
    where TVersion : struct, IInnerVersion
{
    /// <inheritdoc/>
    public static int MinHeaderLength => 0;

    /// <inheritdoc/>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out TunnelHeader header, out DropReason refusal)
    {
        header = new TunnelHeader { BareEtherType = TVersion.EtherType, FrameStart = -EthernetFrame.MinHeaderLength };
        refusal = default;
        return true;
    }

    /// <inheritdoc/>
    public static Segment? FindSegment(ForwardingSnapshot snapshot, in TunnelHeader header) => snapshot.IpInIpSegment;

    /// <inheritdoc/>
    public static bool KnowsOptions(ReadOnlySpan<byte> datagram, Segment segment) => true;

    /// <inheritdoc/>
    public static WireStatus TryParseInner(ReadOnlySpan<byte> frame, in TunnelHeader header, out InnerPacket packet) =>
        InnerPacket.TryParseBare(frame, TVersion.EtherType, out packet);

    /// <inheritdoc/>
    public static DropReason? Refusal(ReadOnlySpan<byte> frame, in InnerPacket packet, ForwardingSnapshot snapshot)
    {
        if (packet.TimeToLive == 0) return DropReason.IngressExpired;
        UInt128 source = packet.Source(frame);
        bool isMapped = packet.IsIpv6 && IpBits.IsMapped(source);
        return isMapped || Martians.IsMartian(source) || snapshot.IsOwnOrTunnelEnd(source) || EmbedsTunnelEnd(source, snapshot)
            ? DropReason.IngressInnerSource
            : null;
    }

    private static bool EmbedsTunnelEnd(UInt128 source, ForwardingSnapshot snapshot) =>
        typeof(TVersion) == typeof(Version6) && Martians.TryGetEmbedded(source, out uint embedded) && snapshot.IsOwnOrTunnelEnd(IpBits.Mapped(embedded));
}
