using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Ingress;

/// <summary>
/// The way in, from the underlay to the devices: known peer, known segment, acceptable inner frame, congestion marks, coalescing. Stateless
/// but for its queue number; one worker thread runs it to completion a batch.
/// </summary>
/// <param name="queue">Index among the workers, for the peers' counters.</param>
public sealed class IngressPath(int queue)
{
    /// <summary>
    /// Takes every datagram of a batch apart. The caller then has each port's device write <see cref="IngressPort.Frames"/>, calls
    /// <see cref="IngressPort.Account"/>, and only after that receives into the batch again: the frames point into it, and headers in it are
    /// rewritten.
    /// </summary>
    /// <param name="input">What the underlay received.</param>
    /// <param name="snapshot">Read once for the whole batch.</param>
    /// <param name="ports">By <see cref="Segment.Index"/>, one for each segment of the snapshot.</param>
    /// <param name="unassigned">Counts datagrams that belong to no segment: from unknown peers, malformed, of unknown VNI.</param>
    public void Process(ReceiveBatch input, ForwardingSnapshot snapshot, ReadOnlySpan<IngressPort> ports, QueueCounters unassigned)
    {
        UInt128 address = 0;
        Peer? peer = null;
        foreach (ref readonly ReceivedTrain train in input.Trains)
        {
            if (peer is null || train.Source.Address != address)
            {
                address = train.Source.Address;
                peer = snapshot.Peers.Find(address);
            }
            if (peer is null) DropTrain(train, unassigned);
            else ProcessTrain(input.Memory, train, peer, snapshot, ports, unassigned);
        }
        foreach (IngressPort port in ports) port.Coalescer.Flush(input.Memory);
    }

    private void ProcessTrain(
        PacketMemory memory, in ReceivedTrain train, Peer peer, ForwardingSnapshot snapshot, ReadOnlySpan<IngressPort> ports, QueueCounters unassigned)
    {
        int end = train.Offset + train.Length;
        int datagramSize = DatagramSize(train);
        SegmentSizes sizes = default;
        if (datagramSize < train.Length && IsWholeSuperPacket(memory.Span(train.Offset, train.Length)))
        {
            sizes = new SegmentSizes(0, datagramSize);
            datagramSize = train.Length;
        }

        ref TrafficCounters traffic = ref peer.Traffic.Ingress(queue);
        uint vni = uint.MaxValue;
        Segment? segment = null;
        IngressPort? port = null;
        int offset = train.Offset;
        do
        {
            int length = Math.Min(datagramSize, end - offset);
            int frameOffset = offset + VxlanHeader.Length;
            int frameLength = Math.Max(length - VxlanHeader.Length, 0);
            bool isTunnelled = VxlanHeader.TryParse(memory.Span(offset, length), out VxlanHeader tunnel) == WireStatus.Ok && tunnel.HasVni;
            if (isTunnelled && tunnel.Vni != vni)
            {
                vni = tunnel.Vni;
                segment = snapshot.FindSegment(vni);
                port = segment is null ? null : ports[segment.Index];
                sizes = sizes with { Mtu = segment?.Mtu ?? 0 };
            }
            offset += length;

            int packets = 1;
            long bytes = frameLength;
            long superPackets = 0;
            QueueCounters counters = unassigned;
            if (!isTunnelled)
            {
                unassigned.Drop(DropReason.IngressMalformed);
            }
            else if (segment is null || port is null)
            {
                unassigned.Drop(DropReason.IngressUnknownSegment);
            }
            else
            {
                counters = port.Counters;
                long before = port.Coalescer.SuperPackets;
                if (!port.Coalescer.TryContinue(memory, frameOffset, frameLength, train.TrafficClass))
                    packets = Admit(memory, frameOffset, frameLength, train.TrafficClass, segment, port, sizes, ref bytes);
                superPackets = port.Coalescer.SuperPackets - before;
            }
            counters.IngressIn.Add(packets, bytes, 0);
            traffic.Add(packets, bytes, superPackets);
        }
        while (offset < end);
    }

    /// <returns>Packets that the frame stands for.</returns>
    private static int Admit(
        PacketMemory memory, int offset, int length, byte outerTrafficClass, Segment segment, IngressPort port, in SegmentSizes sizes, ref long bytes)
    {
        Span<byte> frame = memory.Span(offset, length);
        if (InnerPacket.TryParse(frame, out InnerPacket packet) != WireStatus.Ok) return Drop(port, DropReason.IngressInnerMalformed);
        if (packet.VlanTags != 0) return Drop(port, DropReason.IngressInnerVlan);
        var destination = new MacAddress(frame);
        if (destination != segment.DeviceMac && !destination.IsGroup) return Drop(port, DropReason.IngressInnerMac);
        if (!EcnDecapsulation.TryApply(frame, ref packet, outerTrafficClass)) return Drop(port, DropReason.IngressEcnConflict);
        int packets = port.Coalescer.Add(memory, offset, length, packet, sizes);
        bytes += (packets - 1) * (long)packet.HeadersEnd;
        return packets;
    }

    private static int Drop(IngressPort port, DropReason reason)
    {
        port.Counters.Drop(reason);
        return 1;
    }

    private static void DropTrain(in ReceivedTrain train, QueueCounters unassigned)
    {
        int datagramSize = DatagramSize(train);
        int datagrams = train.Length == 0 ? 1 : (train.Length + datagramSize - 1) / datagramSize;
        unassigned.IngressIn.Add(datagrams, Math.Max(train.Length - (datagrams * VxlanHeader.Length), 0), 0);
        unassigned.Drop(DropReason.IngressUnknownPeer, datagrams);
    }

    private static int DatagramSize(in ReceivedTrain train) =>
        train.SegmentSize > 0 && train.SegmentSize < train.Length ? train.SegmentSize : train.Length;

    // The kernel reports a tunnelled UDP super-packet that nobody segmented like a train of datagrams; but a train's first datagram
    // holds no packet that is as long as the whole train.
    private static bool IsWholeSuperPacket(ReadOnlySpan<byte> train)
    {
        if (train.Length <= VxlanHeader.Length) return false;
        ReadOnlySpan<byte> frame = train[VxlanHeader.Length..];
        return InnerPacket.TryParse(frame, out InnerPacket packet) == WireStatus.Ok
            && packet.Protocol == IpProtocols.Udp
            && packet.HasTransport
            && packet.End == frame.Length
            && TransportChecksum.Check(frame, packet) == ChecksumState.Unfinished;
    }
}
