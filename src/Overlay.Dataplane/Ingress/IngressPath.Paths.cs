using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Ingress;

/// <content>
/// Path messages of peers: handed on, and counted nowhere, for they are no packets of a segment. Those that cannot be taken are dropped like
/// other control packets.
/// </content>
public sealed partial class IngressPath
{
    /// <summary>Gets the path messages of peers; null: they are dropped.</summary>
    public PathInbox? PathMessages { get; init; }

    /// <summary>Finds a path message in what arrived, behind Ethernet or as a bare IP packet from one end of the tunnel.</summary>
    private static bool IsPathMessage(ReadOnlySpan<byte> frame, in InnerPacket packet, Peer peer, out PathMessage message)
    {
        message = default;
        if (packet.IsBareIp)
        {
            return packet.Protocol == IpProtocols.Experimental && !packet.IsFragment && packet.Source(frame) == peer.Endpoint.Address
                && PathMessage.TryParse(frame[packet.TransportOffset..packet.End], out message) == WireStatus.Ok;
        }
        return packet.EtherType == EtherTypes.LocalExperimental && packet.VlanTags == 0
            && PathMessage.TryParse(frame[packet.NetworkOffset..], out message) == WireStatus.Ok;
    }

    /// <summary>A control packet of Geneve: a path message, or dropped.</summary>
    /// <returns>Packets to count: 0, or 1 that was dropped.</returns>
    private int TakeControl<TEncapsulation>(
        ReadOnlySpan<byte> frame, in TunnelHeader tunnel, int size, Peer peer, ForwardingSnapshot snapshot, QueueCounters counters)
        where TEncapsulation : struct, IEncapsulation
    {
        if (TEncapsulation.FindSegment(snapshot, tunnel) is { } segment && InnerPacket.TryParse(frame, out InnerPacket packet) == WireStatus.Ok
            && IsPathMessage(frame, packet, peer, out PathMessage message))
            return TakePathMessage(message, size, peer, segment, counters);
        return Drop(counters, DropReason.IngressControl);
    }

    /// <returns>Packets to count: 0, or 1 that was dropped.</returns>
    private int TakePathMessage(in PathMessage message, int size, Peer peer, Segment segment, QueueCounters counters)
    {
        if (PathMessages?.TryPost(new ReceivedPathMessage(peer, segment, message.Kind, size, message.Size, message.Token)) == true) return 0;
        return Drop(counters, DropReason.IngressControl);
    }
}
