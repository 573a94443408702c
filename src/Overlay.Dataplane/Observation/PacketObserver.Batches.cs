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
            var record = new PacketRecord
            {
                Segment = segment,
                Peer = train.Peer,
                Remote = train.Peer.Endpoint,
                Packets = 1,
                SourcePort = train.Protocol == 0 ? options.SourcePorts[train.SourcePortIndex] : (ushort)0,
                TrafficClass = train.TrafficClass,
                TimeToLive = train.TimeToLive == 0 ? options.TimeToLive : train.TimeToLive,
                Protocol = train.Protocol,
                EncapsulationLimit = train.EncapsulationLimit,
                Encapsulation = segment.Tunnel.Encapsulation,
                At = ObservedAt.Outer,
                IsEgress = true,
                Verdict = isDropped ? PacketVerdict.Dropped : PacketVerdict.Forwarded,
                Reason = isDropped ? EgressPath.ReasonOf(train.Outcome) : default,
            };
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
            // Of a train the ring gets the last datagram.
            int offset = IsCapturing || isDropped ? 0 : (train.Length - 1) / size * size;
            for (; offset < train.Length; offset += size)
                Show(ref record, slices, offset, Math.Min(size, train.Length - offset), memory, headers, isRecent: i >= _recentFrom && offset + size >= train.Length);
        }
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
        Span<byte> head = _head.AsSpan(0, Math.Min(length, HeadLength));
        Gather(slices, start, head, memory, other);
        foreach (CaptureQueue capture in _active)
        {
            CaptureFilter filter = capture.Filter;
            if ((filter.DroppedOnly && !isDropped) || !Takes(filter, record.Segment, record.At) || !filter.TakesPeer(record.Peer)) continue;
            bool isWanted = record.At == ObservedAt.Inner
                ? filter.TakesFrame(head, 0)
                : InnerPart.Behind(head, record.Segment!.HeaderLength, record.Segment.Tunnel.IsBareIp).IsWanted(filter, head, record.Remote.Address);
            if (!isWanted || !capture.TryReserve(length, record.At, out Span<byte> room)) continue;
            Gather(slices, start, room, memory, other);
            capture.Commit(record);
        }
    }

    private static void Keep(PacketRing ring, in PacketRecord record, ReadOnlySpan<BufferSlice> slices, int start, PacketMemory memory, PacketMemory other)
    {
        if (ring.Capacity == 0) return;
        Gather(slices, start, ring.Begin(record.Length), memory, other);
        ring.Commit(record);
    }
}
