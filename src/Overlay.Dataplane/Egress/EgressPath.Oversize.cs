using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <summary>What becomes of packets that the way to their peer does not carry: cut smaller, fragmented, or refused and their sender told.</summary>
public sealed partial class EgressPath
{
    /// <summary>Least payload bytes that a TCP segment or a fragment is cut to.</summary>
    private const int LeastCut = 8;

    /// <param name="mtu">Most bytes of an IP packet that the way carries.</param>
    /// <param name="route">Index of the template.</param>
    private bool TakeOversize(
        in Frame frame, Span<byte> bytes, in InnerPacket packet, in OuterFlow flow, int mtu, int route, PacketMemory memory, Segment segment,
        SendBatch output, GatherBatch answers, QueueCounters counters)
    {
        if (packet.IsIpv6 && packet.End - packet.NetworkOffset <= IcmpError.LeastMtuV6)
            return TakePacket(frame, bytes, packet, flow with { MayFragment = true }, route, memory, segment, output, answers, counters);
        if (!packet.IsIpv4 || HasDontFragment(bytes, packet) || !flow.Peer.MtuPolicy.FragmentsInner)
        {
            Refuse(bytes, packet, mtu, answers, counters);
            return Drop(DropReason.EgressTooBig, 1, frame.Length, counters, flow.Peer);
        }

        int prefix = PrefixLength(packet, segment);
        int network = packet.NetworkOffset;
        int ipHeader = ((bytes[network] & 0xf) * 4);
        int headers = prefix + ipHeader;
        int payload = packet.End - network - ipHeader;
        int room = (mtu - ipHeader) & ~7;
        if (room < LeastCut) return Drop(DropReason.EgressTooBig, 1, frame.Length, counters, flow.Peer);
        int count = Fragmenter.Count(payload, room);
        long innerBytes = payload + ((long)count * (headers - segment.HeaderLength));
        if (!HasRoom(output, count, headers + room, headers)) return NoRoom(output, count, innerBytes, counters, flow.Peer);

        if ((frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) != 0) ChecksumOffload.Finish(bytes, packet, frame.Offload);
        int start = WritePrefix(frame, packet, route, prefix, memory, segment);
        counters.EgressIn.Add(count, innerBytes, 0);
        _fragmenter.Fragment(
            output, flow, memory.Span(start, headers), prefix, memory.Slice(start + headers, payload), room, segment.HeaderLength);
        return true;
    }

    /// <summary>
    /// TCP is cut into smaller segments than the device asked for, which its stream does not mind. UDP is not: its datagrams are treated as
    /// if each had come alone.
    /// </summary>
    /// <param name="room">Most bytes from the tunnel header on.</param>
    /// <param name="prefix">Bytes from the tunnel header to the IP packet.</param>
    private bool TakeOversizeSuperPacket(
        in Frame frame, in InnerPacket packet, int segments, in OuterFlow flow, int room, int prefix, int route, PacketMemory memory, Segment segment,
        SendBatch output, GatherBatch answers, QueueCounters counters)
    {
        Span<byte> bytes = memory.Span(frame.Offset, frame.Length);
        int headers = prefix + packet.HeadersEnd - packet.NetworkOffset;
        bool isTcp = packet.Protocol == IpProtocols.Tcp;
        bool isIpv6 = packet.IsIpv6;
        int payload = packet.End - packet.HeadersEnd;
        if (!isTcp && isIpv6 && headers - prefix + frame.Offload.SegmentSize <= IcmpError.LeastMtuV6)
            return TakeSuperPacket(frame, packet, segments, flow with { MayFragment = true }, route, memory, segment, output, answers, counters);
        bool tells = isIpv6 || HasDontFragment(bytes, packet);
        int cut = room - headers;
        if (isTcp && cut >= LeastCut)
        {
            // Asked first, so that nobody is told twice of a frame that is taken again.
            int count = (payload + cut - 1) / cut;
            if (count <= OffloadRequest.MaxSegments && HasRoom(output, count, room, headers + TunnelSegmenter.MaxPrefixLength))
            {
                if (tells) Refuse(bytes, packet, room - prefix, answers, counters);
                Frame smaller = frame;
                smaller.Offload.SegmentSize = (ushort)cut;
                return TakeSuperPacket(smaller, packet, count, flow, route, memory, segment, output, answers, counters);
            }
            return NoRoom(output, segments, frame.Length, counters, flow.Peer);
        }
        if (!isTcp && !tells && flow.Peer.MtuPolicy.FragmentsInner)
            return FragmentDatagrams(frame, packet, segments, flow, room, prefix, route, memory, segment, output, counters);
        Refuse(bytes, packet, room - prefix, answers, counters);
        return Drop(DropReason.EgressTooBig, segments, ((long)segments * packet.HeadersEnd) + payload, counters, flow.Peer);
    }

    /// <summary>Cuts a UDP super-packet into its datagrams, which are copied, and each of them into fragments.</summary>
    private bool FragmentDatagrams(
        in Frame frame, in InnerPacket packet, int segments, in OuterFlow flow, int room, int prefix, int route, PacketMemory memory, Segment segment,
        SendBatch output, QueueCounters counters)
    {
        int headers = prefix + packet.HeadersEnd - packet.NetworkOffset;
        int ipEnd = prefix + packet.TransportOffset - packet.NetworkOffset;
        int part = (room - ipEnd) & ~7;
        int payload = packet.End - packet.HeadersEnd;
        int size = frame.Offload.SegmentSize;
        long unfragmented = ((long)segments * packet.HeadersEnd) + payload;
        if (part < LeastCut) return Drop(DropReason.EgressTooBig, segments, unfragmented, counters, flow.Peer);
        int count = 0;
        for (int offset = 0; offset < payload; offset += size)
            count += Fragmenter.Count(Math.Min(size, payload - offset) + headers - ipEnd, part);
        if (!HasRoom(output, count, ipEnd + part, headers) || !_arena.Fits(segments + count, headers + Math.Max(size, ipEnd)))
            return NoRoom(output, segments, unfragmented, counters, flow.Peer);

        int start = WritePrefix(frame, packet, route, prefix, memory, segment);
        var super = new SuperPacket(memory.Span(start, headers + payload), prefix, packet, size);
        counters.EgressIn.Add(count, ((long)count * (ipEnd - segment.HeaderLength)) + ((long)segments * (headers - ipEnd)) + payload, 0);
        for (int offset = 0; offset < payload; offset += size)
        {
            int length = Math.Min(size, payload - offset);
            Span<byte> datagram = _arena.Take(headers + length, out BufferSlice slice);
            super.WriteHeaders(datagram, offset, length);
            memory.Span(start + headers + offset, length).CopyTo(datagram[headers..]);
            super.FinishChecksum(datagram, datagram[headers..]);
            var rest = new BufferSlice(slice.Address + ipEnd, headers - ipEnd + length);
            _fragmenter.Fragment(output, flow, datagram[..ipEnd], prefix, rest, part, segment.HeaderLength);
        }
        return true;
    }

    private bool HasRoom(SendBatch output, int datagrams, int length, int headers) =>
        output.FreeTrains >= TrainBuilder.TrainsFor(datagrams, length) + 1 && output.FreeSlices >= 2 * datagrams && _arena.Fits(datagrams, headers);

    private void Refuse(ReadOnlySpan<byte> frame, in InnerPacket packet, int mtu, GatherBatch answers, QueueCounters counters) =>
        Tell(frame, packet, IcmpError.TooBig(mtu), answers, counters);

    private void Tell(ReadOnlySpan<byte> frame, in InnerPacket packet, in IcmpError error, GatherBatch answers, QueueCounters counters)
    {
        // A source that holds a mark is nobody's address.
        MacAddress sender = _segment is { MarksGroupPolicy: true } ? _segment.DeviceMac : new MacAddress(frame[MacAddress.Length..]);
        if (_errors.TryAnswer(frame, packet, error, sender, answers)) counters.IcmpErrors++;
    }

    private static bool HasDontFragment(ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        Ipv4Packet.TryParseHeader(frame[packet.NetworkOffset..packet.End], out Ipv4Packet ip);
        return ip.DontFragment;
    }
}
