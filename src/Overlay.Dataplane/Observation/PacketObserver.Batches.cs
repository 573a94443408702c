using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Dataplane.Offload;
using Overlay.Wire;

namespace Overlay.Dataplane.Observation;

/// <content>Whole batches, after they were sent or written.</content>
public sealed partial class PacketObserver
{
    /// <summary>Bytes of a datagram that filters look at.</summary>
    private const int HeadLength = 256;

    private readonly byte[] _head = new byte[HeadLength];

    /// <summary>Shows what was sent: each datagram of a train, a tunnel super-packet whole.</summary>
    /// <param name="output">Sent.</param>
    /// <param name="first">Index of the first train that is to be shown whatever became of it.</param>
    internal void Sent(SendBatch output, int first, Segment segment, EgressOptions options, PacketMemory memory, PacketMemory headers)
    {
        ReadOnlySpan<DatagramTrain> trains = output.Trains;
        for (int i = 0; i < trains.Length; i++)
        {
            ref readonly DatagramTrain train = ref trains[i];
            bool isDropped = train.Outcome != SendOutcome.Sent;
            if (i < first && !isDropped) continue;
            PacketRecord record = RecordOf(train, segment, options.SourcePorts, options.TimeToLive);
            record.Verdict = isDropped ? PacketVerdict.Dropped : PacketVerdict.Forwarded;
            if (isDropped) record.Reason = EgressPath.ReasonOf(train.Outcome);
            ReadOnlySpan<BufferSlice> slices = output.Slices(train);
            if (train.Kind == TrainKind.TunnelSuperPacket)
            {
                int outer = train.Peer.Endpoint.IsIPv4 ? Ipv4Packet.MinHeaderLength : Ipv6Packet.HeaderLength;
                int start = VirtioTunnelHeader.Size + EthernetFrame.MinHeaderLength + outer + UdpHeader.HeaderLength;
                record.Packets = train.Packets;
                Gather(slices, 0, _head.AsSpan(0, VirtioNetHeader.Size), memory, headers);
                record.Offload = System.Runtime.InteropServices.MemoryMarshal.Read<VirtioNetHeader>(_head);
                Show(ref record, slices, start, train.Length - start, memory, headers, isRecent: i >= _recentFrom);
                continue;
            }
            int size = train.SegmentSize == 0 ? train.Length : train.SegmentSize;
            if (!IsCapturing && !isDropped)
            {
                // Of a train the ring gets the last datagram.
                int last = train.Length - ((train.Length - 1) / size * size);
                Show(ref record, Last(slices, last, out int within), within, last, memory, headers, isRecent: true);
                continue;
            }
            int from = 0;
            for (int offset = 0; offset < train.Length; offset += size)
            {
                bool isLast = offset + size >= train.Length;
                Show(ref record, slices, from, isLast ? train.Length - offset : size, memory, headers, isRecent: isLast && i >= _recentFrom);
                for (from += size; !slices.IsEmpty && from >= slices[0].Length; slices = slices[1..]) from -= (int)slices[0].Length;
            }
        }
    }

    /// <summary>Shows path messages that were sent; what could not be sent is none.</summary>
    /// <param name="segments">By train: whose encapsulation it is in.</param>
    /// <param name="sourcePorts">By index.</param>
    /// <param name="timeToLive">Of the outer header.</param>
    internal void SentPathMessages(
        SendBatch output, ReadOnlySpan<Segment> segments, ReadOnlySpan<ushort> sourcePorts, byte timeToLive, PacketMemory memory, PacketMemory padding)
    {
        ReadOnlySpan<DatagramTrain> trains = output.Trains;
        int first = Begin(trains.Length);
        for (int i = first; i < trains.Length; i++)
        {
            ref readonly DatagramTrain train = ref trains[i];
            if (train.Outcome != SendOutcome.Sent) continue;
            PacketRecord record = RecordOf(train, segments[i], sourcePorts, timeToLive);
            record.Verdict = PacketVerdict.PathMessage;
            Show(ref record, output.Slices(train), 0, train.Length, memory, padding, isRecent: i >= _recentFrom);
        }
    }

    /// <summary>Shows frames of the daemon's own that a device took: answers to questions for neighbours, ICMP errors.</summary>
    /// <param name="memory">Of the frames that do not lie in <paramref name="other"/>.</param>
    internal void Answered(GatherBatch answers, Segment segment, PacketMemory memory, PacketMemory other)
    {
        Span<GatheredFrame> frames = answers.Frames;
        for (int i = Begin(frames.Length); i < frames.Length; i++)
        {
            ref readonly GatheredFrame frame = ref frames[i];
            if (frame.Refused) continue;
            var record = new PacketRecord
            {
                Segment = segment,
                Packets = 1,
                Encapsulation = segment.Tunnel.Encapsulation,
                At = ObservedAt.Inner,
                Verdict = PacketVerdict.Own,
            };
            Show(ref record, answers.Slices(frame), 0, frame.Length, memory, other, isRecent: i >= _recentFrom);
        }
    }

    private static PacketRecord RecordOf(in DatagramTrain train, Segment segment, ReadOnlySpan<ushort> sourcePorts, byte timeToLive) => new()
    {
        Segment = segment,
        Peer = train.Peer,
        Remote = train.Peer.Endpoint,
        Packets = 1,
        SourcePort = train.Protocol == 0 ? sourcePorts[train.SourcePortIndex] : (ushort)0,
        TrafficClass = train.TrafficClass,
        TimeToLive = train.TimeToLive == 0 ? timeToLive : train.TimeToLive,
        Protocol = train.Protocol,
        EncapsulationLimit = train.EncapsulationLimit,
        Encapsulation = segment.Tunnel.Encapsulation,
        At = ObservedAt.Outer,
        IsEgress = true,
    };

    /// <summary>The slices that hold the last bytes of others, and where those begin in the first.</summary>
    private static ReadOnlySpan<BufferSlice> Last(ReadOnlySpan<BufferSlice> slices, int length, out int start)
    {
        int first = slices.Length;
        nint missing = length;
        while (missing > 0) missing -= slices[--first].Length;
        start = (int)-missing;
        return slices[first..];
    }

    /// <summary>Shows what was written to a device, or refused by it. To be called before the port accounts for it.</summary>
    /// <param name="memory">Of the receive batch that the frames lie in.</param>
    public void Delivered(IngressPort port, Segment segment, PacketMemory memory)
    {
        Span<GatheredFrame> frames = port.Frames.Frames;
        int first = Begin(frames.Length);
        for (int i = 0; i < frames.Length; i++)
        {
            ref readonly GatheredFrame frame = ref frames[i];
            if (i < first && !frame.Refused) continue;
            var record = new PacketRecord
            {
                Segment = segment,
                Peer = port.Frames.Origin(i),
                Offload = frame.Offload,
                Packets = frame.Packets,
                Encapsulation = segment.Tunnel.Encapsulation,
                At = ObservedAt.Inner,
                Verdict = frame.Refused ? PacketVerdict.Dropped : PacketVerdict.Forwarded,
                Reason = frame.Refused ? DropReason.IngressDeviceRefused : default,
            };
            Show(ref record, port.Frames.Slices(frame), 0, frame.Length, memory, port.Coalescer.EthernetHeaders, isRecent: i >= _recentFrom);
        }
    }

    /// <summary>Shows one packet of which all is known.</summary>
    private void Show(
        ref PacketRecord record, ReadOnlySpan<BufferSlice> slices, int start, int length, PacketMemory memory, PacketMemory other, bool isRecent)
    {
        Stamp(ref record);
        record.Length = length;
        bool isDropped = record.Verdict == PacketVerdict.Dropped;
        if (isDropped) Keep(_dropped, record, slices, start, memory, other);
        else if (isRecent) Keep(_recent, record, slices, start, memory, other);
        if (_active.Length == 0) return;
        ReadOnlySpan<byte> head = default;
        foreach (CaptureQueue capture in _active)
        {
            CaptureFilter filter = capture.Filter;
            if ((filter.DroppedOnly && !isDropped) || !Takes(filter, record.Segment, record.At) || !filter.TakesPeer(record.Peer)) continue;
            if (head.IsEmpty) head = Head(slices, start, length, memory, other);
            if (!filter.TakesBytes(record, head) || !capture.TryReserve(length, record.At, out Span<byte> room)) continue;
            Gather(slices, start, room, memory, other);
            capture.Commit(record);
        }
    }

    /// <summary>What filters look at, where it lies, or put together where it lies in parts.</summary>
    private ReadOnlySpan<byte> Head(ReadOnlySpan<BufferSlice> slices, int start, int length, PacketMemory memory, PacketMemory other)
    {
        int wanted = Math.Min(length, HeadLength);
        if (!slices.IsEmpty && slices[0].Length - start >= wanted) return (memory.Contains(slices[0]) ? memory : other).Span(slices[0]).Slice(start, wanted);
        Span<byte> head = _head.AsSpan(0, wanted);
        Gather(slices, start, head, memory, other);
        return head;
    }

    private static void Keep(PacketRing ring, in PacketRecord record, ReadOnlySpan<BufferSlice> slices, int start, PacketMemory memory, PacketMemory other)
    {
        if (ring.Capacity == 0) return;
        Gather(slices, start, ring.Begin(record.Length), memory, other);
        ring.Commit(record);
    }
}
