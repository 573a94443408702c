using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Tunnels;

/// <summary>
/// RFC 8926, 3.4 and 3.5: unknown versions, options that do not add up, control packets and unknown critical options are dropped; reserved
/// bits are ignored. Options are always parsed, so the C bit of the header decides nothing.
/// </summary>
internal readonly struct Geneve : IEncapsulation
{
    /// <inheritdoc/>
    public static int MinHeaderLength => GeneveHeader.FixedLength;

    /// <inheritdoc/>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out TunnelHeader header, out DropReason refusal)
    {
        header = new TunnelHeader { FrameStart = GeneveHeader.FixedLength };
        WireStatus status = GeneveHeader.TryParse(datagram, out GeneveHeader geneve);
        if (status != WireStatus.Ok)
        {
            refusal = status switch
            {
                WireStatus.BadVersion => DropReason.IngressTunnelVersion,
                WireStatus.BadLength => DropReason.IngressTunnelOptions,
                _ => DropReason.IngressMalformed,
            };
            return false;
        }
        header.FrameStart = geneve.HeaderLength;
        header.Vni = geneve.Vni;
        refusal = DropReason.IngressControl;
        if (geneve.IsControl) return false;
        refusal = DropReason.IngressPayloadType;
        switch (geneve.ProtocolType)
        {
            case EtherTypes.TransparentEthernet:
                return true;
            case EtherTypes.Ipv4 or EtherTypes.Ipv6:
                header.BareEtherType = geneve.ProtocolType;
                header.FrameStart -= EthernetFrame.MinHeaderLength;
                return true;
            default:
                return false;
        }
    }

    /// <inheritdoc/>
    public static Segment? FindSegment(ForwardingSnapshot snapshot, in TunnelHeader header) => snapshot.FindSegment(header.Vni);

    /// <inheritdoc/>
    public static bool KnowsOptions(ReadOnlySpan<byte> datagram, Segment segment)
    {
        GeneveHeader.TryParse(datagram, out GeneveHeader geneve);
        foreach (GeneveOption option in geneve.Options)
        {
            if (option.IsCritical && !segment.KnowsOption(option.Class, option.Type)) return false;
        }
        return true;
    }

    /// <inheritdoc/>
    public static WireStatus TryParseInner(ReadOnlySpan<byte> frame, in TunnelHeader header, out InnerPacket packet) =>
        header.BareEtherType == 0 ? InnerPacket.TryParse(frame, out packet) : InnerPacket.TryParseBare(frame, header.BareEtherType, out packet);

    /// <inheritdoc/>
    public static DropReason? Refusal(ReadOnlySpan<byte> frame, in InnerPacket packet, ForwardingSnapshot snapshot) => null;
}
