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
        ReadOnlySpan<Frame> frames, int first, PacketMemory memory, Segment segment, Bridge bridge, SendBatch output, GatherBatch answers,
        QueueCounters counters)
    {
        long now = bridge.Now;
        int next = first;
        for (; next < frames.Length; next++)
        {
            if (_copies.Next == 0 && !TakeBridged(frames[next], memory, segment, bridge, now, output, answers, counters)) break;
            if (_copies.Next > 0 && !SendCopies(memory, segment, output, counters)) break;
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

        ulong source = MacBits.Source(bytes);
        if (!bridge.TryLearn(source, MacTable.Local, now, out LearnOutcome outcome))
            return Drop(DropReason.EgressSpoofedMac, segments, innerBytes, counters);
        counters.Count(outcome);

        ulong destination = MacBits.Destination(bytes);
        if (!packet.IsIpv4 && !packet.IsIpv6) packet.FlowHash = FlowHash.OfEthernet(destination, source);
        ReadOnlySpan<Peer> peers = bridge.Flood;
        if (!MacBits.IsGroup(destination))
        {
            int location = bridge.Find(destination, now);
            if (location == MacTable.Local) return Drop(DropReason.EgressLocalMac, segments, innerBytes, counters);
            if (bridge.PeerAt(location) is { } peer)
                return SendCopy(new Copies(frame, packet, segments, segment), peer, memory, segment, output, counters);
            if (!bridge.FloodsUnknown) return Drop(DropReason.EgressUnknownMac, segments, innerBytes, counters);
        }
        else if (packet.VlanTags == 0 && AsksNeighbour(frame, bytes, packet, bridge, answers, out bool answered))
        {
            if (answered) return Answered(null, frame.Length, counters);
            if (!bridge.FloodsUnknownNeighbours) return Drop(DropReason.EgressUnknownNeighbor, 1, frame.Length, counters);
        }
        if (peers.Length == 0) return Drop(DropReason.EgressNoFloodPeer, segments, innerBytes, counters);
        var copies = new Copies(frame, packet, segments, segment);
        if (!SendCopy(copies, peers[0], memory, segment, output, counters)) return false;
        // What was dropped for its size would be so again.
        if (peers.Length > 1 && copies.Length(segment) <= TrainBuilder.MaxLength) _copies = copies with { Next = 1 };
        return true;
    }

    /// <summary>Sends what is left of a frame's copies. They are of the same bytes: nothing of a datagram depends on the peer.</summary>
    /// <returns>False when the rest has to wait for an empty output.</returns>
    private bool SendCopies(PacketMemory memory, Segment segment, SendBatch output, QueueCounters counters)
    {
        ReadOnlySpan<Peer> peers = segment.Bridge!.Flood;
        for (; _copies.Next < peers.Length; _copies.Next++)
        {
            if (!SendCopy(_copies, peers[_copies.Next], memory, segment, output, counters)) return false;
        }
        _copies = default;
        return true;
    }

    private bool SendCopy(in Copies copies, Peer peer, PacketMemory memory, Segment segment, SendBatch output, QueueCounters counters)
    {
        int length = copies.Length(segment);
        if (length > TrainBuilder.MaxLength) return Drop(DropReason.EgressTooBig, copies.Segments, copies.InnerBytes, counters);
        bool isSuperPacket = copies.Segments > 1;
        bool fits = isSuperPacket
            ? output.FreeTrains >= TrainBuilder.TrainsFor(copies.Segments, length) && output.FreeSlices >= 2 * copies.Segments
                && _arena.Fits(copies.Segments, copies.HeadersLength(segment) + TunnelSegmenter.MaxPrefixLength)
            : output.FreeTrains > 0 && output.FreeSlices > 0;
        if (!fits && output.Count > 0) return false;

        if (copies.Next > 0) counters.EgressReplicated += copies.Segments;
        else counters.EgressIn.Add(copies.Segments, copies.InnerBytes, isSuperPacket ? 1 : 0);
        if (!fits)
        {
            counters.Drop(DropReason.EgressQueueFull, copies.Segments);
            return true;
        }
        int start = copies.Next > 0 ? copies.Start(segment) : Wrap(copies, memory, segment);
        OuterFlow flow = FlowTo(peer, copies.Packet);
        if (!isSuperPacket)
        {
            output.AddSlice(_trains.Place(output, flow, length, length - segment.HeaderLength), memory.Slice(start, length));
            return true;
        }
        InnerPacket packet = copies.Packet;
        int headers = copies.HeadersLength(segment);
        var super = new SuperPacket(
            memory.Span(start, headers + packet.End - packet.HeadersEnd), segment.HeaderLength + packet.NetworkOffset - copies.Stripped, packet,
            copies.Frame.Offload.SegmentSize);
        int payload = copies.Frame.Offset + packet.HeadersEnd;
        if (packet.Protocol != IpProtocols.Tcp
            || !_tunnelSegmenter.TryEmit(
                output, flow, super, copies.Frame.Offload, memory, payload, copies.Segments, segment.HeaderLength, segment.TunnelSuperPackets))
            _segmenter.Segment(output, flow, super, segment.HeaderLength, memory, payload);
        return true;
    }

    /// <summary>Finishes what the device left, strips VLAN tags that are not kept, and writes the tunnel header; once for all copies.</summary>
    /// <returns>Where the datagram starts in the memory.</returns>
    private static int Wrap(in Copies copies, PacketMemory memory, Segment segment)
    {
        Span<byte> frame = memory.Span(copies.Frame.Offset, copies.Frame.Length);
        bool unfinished = (copies.Frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) != 0;
        if (copies.Segments == 1 && unfinished) ChecksumOffload.Finish(frame, copies.Packet, copies.Frame.Offload);
        if (copies.Stripped > 0) frame[..(2 * MacAddress.Length)].CopyTo(frame[copies.Stripped..]);
        int start = copies.Start(segment);
        segment.TunnelHeader.CopyTo(memory.Span(start, segment.HeaderLength));
        return start;
    }

    /// <summary>Answers an ARP request or a solicitation for a neighbour who is known and not on our own side.</summary>
    /// <returns>
    /// True for a question that need not be everybody's. Probes for an address of one's own and announcements are for all: RFC 5227, 2.1, RFC
    /// 4862, 5.4.
    /// </returns>
    private bool AsksNeighbour(in Frame frame, ReadOnlySpan<byte> bytes, in InnerPacket packet, Bridge bridge, GatherBatch answers, out bool answered)
    {
        answered = false;
        if (packet.EtherType == EtherTypes.Arp)
        {
            if (ArpPacket.TryParse(bytes[packet.NetworkOffset..], out ArpPacket arp) != WireStatus.Ok || arp.Operation != ArpOperation.Request
                || arp.SenderAddress == 0 || arp.SenderAddress == arp.TargetAddress) return false;
            answered = TryFindRemote(IpBits.Mapped(arp.TargetAddress), bridge, out BridgeNeighbour neighbour)
                && _neighbors.TryReply(arp, neighbour.Mac, answers);
            return true;
        }
        bool unfinished = (frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) != 0;
        if (!IsSolicitation(bytes, packet)
            || !NeighborResponder.TryParse(bytes, packet, unfinished, out Ipv6Packet ip, out NeighborMessage solicitation)
            || ip.Source == UInt128.Zero) return false;
        if (TryFindRemote(solicitation.Target, bridge, out BridgeNeighbour known))
        {
            NeighborFlags flags = NeighborFlags.Solicited | NeighborFlags.Override | (known.IsRouter ? NeighborFlags.Router : NeighborFlags.None);
            answered = _neighbors.TryAdvertise(bytes, ip, solicitation, known.Mac, flags, answers);
        }
        return true;
    }

    /// <summary>A neighbour on our own side heard the question, and answers for itself.</summary>
    private static bool TryFindRemote(UInt128 address, Bridge bridge, out BridgeNeighbour neighbour) =>
        bridge.TryFindNeighbour(address, out neighbour) && bridge.Find(MacBits.Of(neighbour.Mac), bridge.Now) != MacTable.Local;

    private static bool IsOffloadSound(in Frame frame, in InnerPacket packet, out int segments)
    {
        segments = 1;
        if (packet.IsIpv4 || packet.IsIpv6) return OffloadRequest.IsConsistent(frame.Offload, packet, out segments);
        return (frame.Offload.GsoType & ~VirtioGsoType.Ecn) == VirtioGsoType.None && (frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) == 0;
    }

    /// <summary>A frame on its way to one or more peers.</summary>
    private record struct Copies
    {
        public Frame Frame;
        public InnerPacket Packet;

        /// <summary>Packets that the frame stands for.</summary>
        public int Segments;

        /// <summary>Bytes of VLAN tags that are not sent.</summary>
        public int Stripped;

        /// <summary>Index of the next peer; 0 while the frame has not been taken.</summary>
        public int Next;

        public Copies(in Frame frame, in InnerPacket packet, int segments, Segment segment)
        {
            Frame = frame;
            Packet = packet;
            Segments = segments;
            Stripped = (packet.NetworkOffset - EthernetFrame.MinHeaderLength) & ~segment.VlanMask;
        }

        /// <summary>Bytes as the device delivered it, after segmentation.</summary>
        public readonly long InnerBytes => Segments == 1 ? Frame.Length : ((long)Segments * Packet.HeadersEnd) + Packet.End - Packet.HeadersEnd;

        /// <summary>UDP payload bytes of a datagram: of a super-packet's first one.</summary>
        public readonly int Length(Segment segment) =>
            Segments == 1 ? segment.HeaderLength + Frame.Length - Stripped : HeadersLength(segment) + Frame.Offload.SegmentSize;

        /// <summary>Bytes from the tunnel header to the payload.</summary>
        public readonly int HeadersLength(Segment segment) => segment.HeaderLength + Packet.HeadersEnd - Stripped;

        /// <summary>Where the datagram starts in the memory.</summary>
        public readonly int Start(Segment segment) => Frame.Offset + Stripped - segment.HeaderLength;
    }
}
