using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <content>Bridged segments: whole frames, by destination MAC.</content>
public sealed partial class EgressPath
{
    private Copies _copies;

    private int ProcessBridged(
        ReadOnlySpan<Frame> frames, int first, int shown, PacketMemory memory, Segment segment, Bridge bridge, SendBatch output, GatherBatch answers,
        QueueCounters counters)
    {
        long now = bridge.Now;
        int next = first;
        for (; next < frames.Length; next++)
        {
            if (_copies.Next == 0)
            {
                bool isAwaited = next >= shown && ShowArrival(next, frames[next]);
                long answered = counters.EgressAnswered;
                _refusal = null;
                if (!TakeBridged(frames[next], memory, segment, bridge, now, output, answers, counters))
                {
                    Observer?.Cancel();
                    break;
                }
                if (isAwaited || _refusal is not null) ShowOutcome(frames[next], output, counters.EgressAnswered != answered);
            }
            if (_copies.Next == 0) continue;
            _refusal = null;
            bool areSent = SendCopies(memory, segment, output, counters);
            if (_refusal is not null) ShowOutcome(frames[next], output, isAnswered: false);
            if (!areSent) break;
        }
        return next;
    }

    /// <summary>Finds out where a frame goes, and sends it there, or the first of its copies.</summary>
    /// <returns>False when the frame has to wait for an empty output; nothing was counted then.</returns>
    private bool TakeBridged(
        in Frame frame, PacketMemory memory, Segment segment, Bridge bridge, long now, SendBatch output, GatherBatch answers, QueueCounters counters)
    {
        Span<byte> bytes = memory.Span(frame.Offset, frame.Length);
        if (InnerPacket.TryParseFrame(bytes, out InnerPacket packet) != WireStatus.Ok)
            return Drop(DropReason.EgressMalformed, 1, frame.Length, counters);
        if (!IsOffloadSound(frame, packet, out int segments)) return Drop(DropReason.EgressBadOffload, 1, frame.Length, counters);
        long innerBytes = segments == 1 ? frame.Length : ((long)segments * packet.HeadersEnd) + packet.End - packet.HeadersEnd;

        ulong source = MacBits.Source(bytes), destination = MacBits.Destination(bytes);
        if (!MacBits.IsHost(source)) return Drop(DropReason.EgressSourceMac, segments, innerBytes, counters);
        if (bridge.IsReserved(destination)) return Drop(DropReason.EgressReservedMac, segments, innerBytes, counters);
        if (!bridge.TryLearn(source, MacTable.Local, now, out LearnOutcome outcome))
            return Drop(DropReason.EgressSpoofedMac, segments, innerBytes, counters);
        counters.Count(outcome);
        if (!bridge.ObserveNeighbour(bytes, packet, (frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) != 0, now)) counters.NeighboursNotLearned++;

        if (!packet.IsIpv4 && !packet.IsIpv6) packet.FlowHash = FlowHash.OfEthernet(destination, source);
        ReadOnlySpan<Peer> peers = bridge.Flood;
        var copies = new Copies(frame, packet, segments, segment);
        if (!MacBits.IsGroup(destination))
        {
            int location = bridge.Find(destination, now);
            if (location == MacTable.Local) return Drop(DropReason.EgressLocalMac, segments, innerBytes, counters);
            if (bridge.PeerAt(location) is { } peer) return SendCopy(ref copies, peer, memory, segment, output, answers, counters);
            if (!bridge.FloodsUnknown) return Drop(DropReason.EgressUnknownMac, segments, innerBytes, counters);
        }
        else if (packet.VlanTags == 0 && AsksNeighbour(frame, bytes, packet, bridge, now, answers, out bool answered))
        {
            if (answered) return Answered(null, frame.Length, counters);
            if (!bridge.FloodsUnknownNeighbours) return Drop(DropReason.EgressUnknownNeighbor, 1, frame.Length, counters);
        }
        if (peers.Length == 0) return Drop(DropReason.EgressNoFloodPeer, segments, innerBytes, counters);
        if (!SendCopy(ref copies, peers[0], memory, segment, output, answers: null, counters)) return false;
        if (peers.Length > 1) _copies = copies with { Next = 1 };
        return true;
    }

    /// <summary>Sends what is left of a frame's copies. They are of the same bytes: nothing of a datagram depends on the peer.</summary>
    /// <returns>False when the rest has to wait for an empty output.</returns>
    private bool SendCopies(PacketMemory memory, Segment segment, SendBatch output, QueueCounters counters)
    {
        ReadOnlySpan<Peer> peers = segment.Bridge!.Flood;
        for (; _copies.Next < peers.Length; _copies.Next++)
        {
            if (!SendCopy(ref _copies, peers[_copies.Next], memory, segment, output, answers: null, counters)) return false;
        }
        _copies = default;
        return true;
    }

    /// <param name="answers">Where the sender is told that the frame does not fit the peer's path; null for one of several copies.</param>
    private bool SendCopy(ref Copies copies, Peer peer, PacketMemory memory, Segment segment, SendBatch output, GatherBatch? answers, QueueCounters counters)
    {
        if (peer.Path.LeadsBack)
        {
            Note(DropReason.EgressLoop, peer, copies.Segments);
            return copies.Drop(DropReason.EgressLoop, counters);
        }
        int length = copies.Length(segment);
        int room = segment.RoomTo(peer);
        bool mayFragment = length > room && copies.IsLeastIpv6(segment);
        if (length > TrainBuilder.MaxLength || (length > room && !mayFragment))
        {
            if (answers is not null && copies.IsToBeToldOf(memory))
                Refuse(memory.Span(copies.Frame.Offset, copies.Frame.Length), copies.Packet, room - copies.PrefixLength(segment), answers, counters);
            Note(DropReason.EgressTooBig, peer, copies.Segments);
            return copies.Drop(DropReason.EgressTooBig, counters);
        }
        bool fits = copies.Segments == 1
            ? output.FreeTrains > 0 && output.FreeSlices > 0
            : output.FreeTrains >= TrainBuilder.TrainsFor(copies.Segments, length) && output.FreeSlices >= 2 * copies.Segments
                && _arena.Fits(copies.Segments, copies.HeadersLength(segment) + TunnelSegmenter.MaxPrefixLength);
        if (!fits)
        {
            if (output.Count > 0) return false;
            Note(DropReason.EgressQueueFull, peer, copies.Segments);
            return copies.Drop(DropReason.EgressQueueFull, counters);
        }

        copies.Count(counters);
        if (!copies.IsWrapped) Wrap(ref copies, memory, segment);
        int start = copies.Start(segment);
        OuterFlow flow = FlowTo(peer, copies.Packet) with { MayFragment = mayFragment };
        if (copies.Segments == 1)
        {
            output.AddSlice(_trains.Place(output, flow, length, length - segment.HeaderLength), memory.Slice(start, length));
            return true;
        }
        InnerPacket packet = copies.Packet;
        int headers = copies.HeadersLength(segment);
        var super = new SuperPacket(
            memory.Span(start, headers + packet.End - packet.HeadersEnd), copies.PrefixLength(segment), packet, copies.Frame.Offload.SegmentSize);
        int payload = copies.Frame.Offset + packet.HeadersEnd;
        if (mayFragment || packet.Protocol != IpProtocols.Tcp
            || !_tunnelSegmenter.TryEmit(
                output, flow, super, copies.Frame.Offload, memory, payload, copies.Segments, segment.HeaderLength, segment.TunnelSuperPackets))
            _segmenter.Segment(output, flow, super, segment.HeaderLength, memory, payload);
        return true;
    }

    /// <summary>Finishes what the device left, strips VLAN tags that are not kept, and writes the tunnel header; once for all copies.</summary>
    private static void Wrap(ref Copies copies, PacketMemory memory, Segment segment)
    {
        Span<byte> frame = memory.Span(copies.Frame.Offset, copies.Frame.Length);
        bool unfinished = (copies.Frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) != 0;
        if (copies.Segments == 1 && unfinished) ChecksumOffload.Finish(frame, copies.Packet, copies.Frame.Offload);
        if (copies.Stripped > 0) frame[..(2 * MacAddress.Length)].CopyTo(frame[copies.Stripped..]);
        segment.TunnelHeader.CopyTo(memory.Span(copies.Start(segment), segment.HeaderLength));
        copies.IsWrapped = true;
    }

    private static bool IsOffloadSound(in Frame frame, in InnerPacket packet, out int segments)
    {
        segments = 1;
        if (packet.IsIpv4 || packet.IsIpv6) return OffloadRequest.IsConsistent(frame.Offload, packet, out segments);
        return (frame.Offload.GsoType & ~VirtioGsoType.Ecn) == VirtioGsoType.None && (frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) == 0;
    }
}
