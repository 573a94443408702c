using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <content>Bridged segments: questions for neighbours, answered on the spot.</content>
public sealed partial class EgressPath
{
    /// <summary>Answers an ARP request or a solicitation for a neighbour who is known and not on our own side.</summary>
    /// <returns>
    /// True for a question that need not be everybody's. Probes for an address of one's own and announcements are for all: RFC 5227, 2.1, RFC
    /// 4862, 5.4.
    /// </returns>
    private bool AsksNeighbour(in Frame frame, ReadOnlySpan<byte> bytes, in InnerPacket packet, Bridge bridge, long now, GatherBatch answers, out bool answered)
    {
        answered = false;
        if (packet.EtherType == EtherTypes.Arp)
        {
            if (ArpPacket.TryParse(bytes[packet.NetworkOffset..], out ArpPacket arp) != WireStatus.Ok || arp.Operation != ArpOperation.Request
                || arp.SenderAddress == 0 || arp.SenderAddress == arp.TargetAddress) return false;
            answered = bridge.TryFindRemote(IpBits.Mapped(arp.TargetAddress), now, out BridgeNeighbour neighbour)
                && _neighbors.TryReply(arp, neighbour.Mac, answers);
            return true;
        }
        bool unfinished = (frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) != 0;
        if (!IsSolicitation(bytes, packet)
            || !NeighborDiscovery.TryParse(bytes, packet, unfinished, out Ipv6Packet ip, out NeighborMessage solicitation)
            || ip.Source == UInt128.Zero || IpBits.IsMapped(solicitation.Target)) return false;
        if (bridge.TryFindRemote(solicitation.Target, now, out BridgeNeighbour known))
        {
            NeighborFlags flags = NeighborFlags.Solicited | NeighborFlags.Override | (known.IsRouter ? NeighborFlags.Router : NeighborFlags.None);
            answered = _neighbors.TryAdvertise(bytes, ip, solicitation, known.Mac, flags, answers);
        }
        return true;
    }
}
