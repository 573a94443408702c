using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Ingress;

/// <summary>
/// The way in, from the underlay to the devices: known peer, known segment, acceptable inner frame, congestion marks, coalescing. Stateless
/// but for its queue number; one worker thread runs it to completion a batch.
/// </summary>
/// <param name="queue">Index among the workers, for the peers' counters.</param>
public sealed partial class IngressPath(int queue)
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
        ReadOnlySpan<ReceivedTrain> trains = input.Trains;
        _shown = Observer?.Begin(trains.Length) ?? trains.Length;
        for (int i = 0; i < trains.Length; i++)
        {
            ref readonly ReceivedTrain train = ref trains[i];
            _train = i;
            if (peer is null || train.Source.Address != address)
            {
                address = train.Source.Address;
                peer = snapshot.Peers.Find(address);
            }
            switch (train.Encapsulation)
            {
                case Encapsulation.Vxlan:
                    ProcessTrain<Vxlan>(input.Memory, train, peer, snapshot, ports, unassigned);
                    break;
                case Encapsulation.Geneve:
                    ProcessTrain<Geneve>(input.Memory, train, peer, snapshot, ports, unassigned);
                    break;
                default:
                    if (train.Protocol == IpProtocols.Ipv4InIp) ProcessTrain<IpInIp<Version4>>(input.Memory, train, peer, snapshot, ports, unassigned);
                    else ProcessTrain<IpInIp<Version6>>(input.Memory, train, peer, snapshot, ports, unassigned);
                    break;
            }
        }
        foreach (IngressPort port in ports) port.Coalescer.Flush(input.Memory);
    }

    private void ProcessTrain<TEncapsulation>(
        PacketMemory memory, in ReceivedTrain train, Peer? peer, ForwardingSnapshot snapshot, ReadOnlySpan<IngressPort> ports, QueueCounters unassigned)
        where TEncapsulation : struct, IEncapsulation
    {
        if (peer is null)
        {
            DropTrain<TEncapsulation>(memory, train, unassigned);
            return;
        }
        int end = train.Offset + train.Length;
        int datagramSize = DatagramSize(train);
        SegmentSizes sizes = default;
        if (datagramSize < train.Length && IsWholeSuperPacket<TEncapsulation>(memory, train))
        {
            sizes = new SegmentSizes(0, datagramSize);
            datagramSize = train.Length;
        }

        ref TrafficCounters traffic = ref peer.Traffic.Ingress(queue);
        ulong key = ulong.MaxValue;
        Segment? segment = null;
        IngressPort? port = null;
        int offset = train.Offset;
        do
        {
            int length = Math.Min(datagramSize, end - offset);
            ReadOnlySpan<byte> datagram = memory.Span(offset, length);
            bool isTunnelled = TEncapsulation.TryParse(datagram, out TunnelHeader tunnel, out DropReason refusal);
            int frameOffset = offset + tunnel.FrameStart;
            int frameLength = Math.Max(length - tunnel.FrameStart, 0);
            if (isTunnelled && tunnel.Key != key)
            {
                key = tunnel.Key;
                segment = TEncapsulation.FindSegment(snapshot, tunnel);
                port = segment is null ? null : ports[segment.Index];
                port?.Coalescer.Carry(memory, tunnel.BareEtherType != 0, segment!.DeviceMac);
                if (port is not null) port.Coalescer.Origin = peer;
                sizes = sizes with { Mtu = segment?.Mtu ?? 0 };
                if (segment?.Bridge is { } bridge)
                {
                    offset = ProcessBridged<TEncapsulation>(
                        memory, new BridgedRun(offset, end, datagramSize, train.TrafficClass, key), train, peer, segment, bridge, port!, sizes);
                    key = ulong.MaxValue;
                    continue;
                }
            }
            bool isAwaited = IsShown(offset + length == end) && ShowArrival(datagram, isTunnelled, tunnel, isTunnelled ? segment : null, peer, train);
            offset += length;
            _refusal = null;

            int packets = 1;
            long bytes = frameLength;
            long superPackets = 0;
            QueueCounters counters = unassigned;
            if (!isTunnelled)
            {
                if (refusal != DropReason.IngressControl)
                    Drop(unassigned, refusal);
                else if (TakeControl<TEncapsulation>(memory.Span(frameOffset, frameLength), tunnel, length, peer, snapshot, unassigned) == 0)
                    (packets, bytes) = (0, 0);
            }
            else if (segment is null || port is null)
            {
                Drop(unassigned, DropReason.IngressUnknownSegment);
            }
            else
            {
                counters = port.Counters;
                long before = port.Coalescer.SuperPackets;
                if (segment.MarksGroupPolicy && tunnel.BareEtherType == 0 && frameLength >= EthernetFrame.MinHeaderLength)
                    MarkedSource.Write(memory.Span(frameOffset, frameLength), tunnel.GroupPolicy);
                if (!TEncapsulation.KnowsOptions(datagram, segment))
                    Drop(port.Counters, DropReason.IngressCriticalOption);
                // A run may have been begun by another peer, whose sources are not this one's.
                else if (peer.ChecksReversePath || !port.Coalescer.TryContinue(memory, frameOffset, frameLength, train.TrafficClass))
                {
                    packets = Admit<TEncapsulation>(
                        memory, frameOffset, frameLength, tunnel, train.TrafficClass, snapshot, segment, port, sizes, peer, ref bytes);
                }
                superPackets = port.Coalescer.SuperPackets - before;
            }
            counters.IngressIn.Add(packets, bytes, 0);
            traffic.Add(packets, bytes, superPackets);
            if (_refusal is { } reason) peer.Traffic.Dropped(queue, reason)++;
            if (isAwaited || _refusal is not null) ShowOutcome(datagram, isTunnelled, tunnel, segment, peer, train, packets);
        }
        while (offset < end);
    }

    /// <returns>Packets that the frame stands for.</returns>
    private int Admit<TEncapsulation>(
        PacketMemory memory, int offset, int length, in TunnelHeader tunnel, byte outerTrafficClass, ForwardingSnapshot snapshot, Segment segment,
        IngressPort port, in SegmentSizes sizes, Peer peer, ref long bytes)
        where TEncapsulation : struct, IEncapsulation
    {
        Span<byte> frame = memory.Span(offset, length);
        if (TEncapsulation.TryParseInner(frame, tunnel, out InnerPacket packet) != WireStatus.Ok) return Drop(port.Counters, DropReason.IngressInnerMalformed);
        if (IsPathMessage(frame, packet, peer, out PathMessage message))
        {
            int taken = TakePathMessage(message, length + tunnel.FrameStart, peer, segment, port.Counters);
            if (taken == 0) bytes = 0;
            return taken;
        }
        if (packet.VlanTags > segment.MaxVlanTags) return Drop(port.Counters, DropReason.IngressInnerVlan);
        if (!packet.IsBareIp && !IsForDevice(frame, segment)) return Drop(port.Counters, DropReason.IngressInnerMac);
        if (TEncapsulation.Refusal(frame, packet, snapshot) is { } refusal) return Drop(port.Counters, refusal);
        if (peer.ChecksReversePath && (packet.IsIpv4 || packet.IsIpv6) && !segment.IsReversePath(peer, packet, frame))
            return Drop(port.Counters, DropReason.IngressReversePath);
        if (!EcnDecapsulation.TryApply(frame, ref packet, outerTrafficClass)) return Drop(port.Counters, DropReason.IngressEcnConflict);
        if (MssClamp.IsSyn(frame, packet))
        {
            if (MssClamp.Offered(frame, packet) is { } offered) peer.Path.NoteOffer(offered + segment.PrefixLength + segment.OuterLengthTo(peer));
            bool unfinished = TransportChecksum.Check(frame, packet) == ChecksumState.Unfinished;
            MssClamp.Apply(frame, packet, peer.MtuPolicy, Math.Min(segment.Mtu, segment.RoomTo(peer) - segment.PrefixLength), unfinished);
        }
        // Behind an Ethernet header padding is the frame's own; a bare packet ends where it says (RFC 4213, 3.6).
        if (packet.IsBareIp) length = packet.End;
        int packets = port.Coalescer.Add(memory, offset, length, packet, sizes);
        bytes += (packets - 1) * (long)packet.HeadersEnd;
        return packets;
    }

    private static bool IsForDevice(ReadOnlySpan<byte> frame, Segment segment)
    {
        var destination = new MacAddress(frame);
        return destination == segment.DeviceMac || destination.IsGroup;
    }

    /// <returns>Packets to count: 1.</returns>
    private int Drop(QueueCounters counters, DropReason reason)
    {
        counters.Drop(reason);
        _refusal = reason;
        return 1;
    }

    private void DropTrain<TEncapsulation>(PacketMemory memory, in ReceivedTrain train, QueueCounters unassigned)
        where TEncapsulation : struct, IEncapsulation
    {
        int datagramSize = DatagramSize(train);
        int datagrams = train.Length == 0 ? 1 : (train.Length + datagramSize - 1) / datagramSize;
        unassigned.IngressIn.Add(datagrams, Math.Max(train.Length - (datagrams * TEncapsulation.MinHeaderLength), 0), 0);
        unassigned.Drop(DropReason.IngressUnknownPeer, datagrams);
        if (Observer is null) return;
        _refusal = DropReason.IngressUnknownPeer;
        for (int i = 0; i < datagrams; i++)
        {
            ReadOnlySpan<byte> datagram = memory.Span(train.Offset + (i * datagramSize), Math.Min(datagramSize, train.Length - (i * datagramSize)));
            bool isTunnelled = TEncapsulation.TryParse(datagram, out TunnelHeader tunnel, out _);
            if (IsShown(i == datagrams - 1)) ShowArrival(datagram, isTunnelled, tunnel, null, null, train);
            ShowOutcome(datagram, isTunnelled, tunnel, null, null, train, 1);
        }
    }

    private static int DatagramSize(in ReceivedTrain train) =>
        train.SegmentSize > 0 && train.SegmentSize < train.Length ? train.SegmentSize : train.Length;

    // The kernel reports a tunnelled UDP super-packet that nobody segmented like a train of datagrams; but a train's first datagram
    // holds no packet that is as long as the whole train.
    private static bool IsWholeSuperPacket<TEncapsulation>(PacketMemory memory, in ReceivedTrain train)
        where TEncapsulation : struct, IEncapsulation
    {
        if (!TEncapsulation.TryParse(memory.Span(train.Offset, train.Length), out TunnelHeader tunnel, out _)) return false;
        ReadOnlySpan<byte> frame = memory.Span(train.Offset + tunnel.FrameStart, train.Length - tunnel.FrameStart);
        return TEncapsulation.TryParseInner(frame, tunnel, out InnerPacket packet) == WireStatus.Ok
            && packet.Protocol == IpProtocols.Udp
            && packet.HasTransport
            && packet.End == frame.Length
            && TransportChecksum.Check(frame, packet) == ChecksumState.Unfinished;
    }
}
