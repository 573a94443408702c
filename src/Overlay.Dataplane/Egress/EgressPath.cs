using System.Buffers.Binary;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <summary>
/// The way out: frames of a segment's device become trains of tunnel datagrams, in the segment's format, to the peers that their inner
/// destinations are routed to. One worker thread owns it.
/// </summary>
/// <remarks>
/// Once for every batch read: <see cref="Process"/>, <c>IUnderlay.Send</c>, <see cref="Account"/>, <see cref="SendBatch.Clear"/>, again
/// until all frames are taken; then the answers are written to the device, and <see cref="ShowAnswers"/> tells of them. Each packet is counted in when it is taken and once more as
/// sent, answered or dropped, at the latest by <see cref="Account"/>.
/// </remarks>
public sealed partial class EgressPath
{
    private const int ArenaLength = 1 << 20;
    private const byte EcnMask = 3;

    private readonly EgressOptions _options;
    private readonly HeaderArena _arena = new(ArenaLength);
    private readonly TrainBuilder _trains;
    private readonly Segmenter _segmenter;
    private readonly TunnelSegmenter _tunnelSegmenter;
    private readonly NeighborResponder _neighbors = new();
    private readonly RoutesAhead _routes = new();
    private readonly Fragmenter _fragmenter;
    private readonly IcmpErrors _errors = new();
    private readonly byte _trafficClass;
    private readonly byte _copiedTrafficClass;
    private readonly byte _copiedTimeToLive;

    public EgressPath(EgressOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfZero(options.SourcePorts.Length);
        _options = options;
        _trafficClass = (byte)(options.CopiesDscp ? 0 : options.TrafficClass & ~EcnMask);
        _copiedTrafficClass = options.CopiesDscp ? byte.MaxValue : EcnMask;
        _copiedTimeToLive = options.CopiesTimeToLive ? byte.MaxValue : (byte)0;
        _trains = new TrainBuilder(options.SourcePorts.Length);
        _segmenter = new Segmenter(_arena, _trains);
        _fragmenter = new Fragmenter(_arena, _trains);
        _tunnelSegmenter = new TunnelSegmenter(options, _arena, _trains);
    }

    /// <summary>Is shown what comes and what becomes of it; null: nobody is.</summary>
    public PacketObserver? Observer { get; init; }

    /// <summary>Outer families in which TCP super-packets leave unsegmented. Any thread may change it.</summary>
    public TunnelOffload TunnelSuperPackets
    {
        get => _tunnelSegmenter.Families;
        set => _tunnelSegmenter.Families = value;
    }

    /// <summary>Takes frames until the batch is done or <paramref name="output"/> is full.</summary>
    /// <param name="input">
    /// Frames of <paramref name="segment"/>'s device, with its headroom; rewritten in place. Its bytes must outlive <paramref name="output"/>'s slices.
    /// </param>
    /// <param name="first">Index of the first frame to take: 0, then what the call before returned.</param>
    /// <param name="segment">Where the frames belong.</param>
    /// <param name="output">Empty. Its slices point into <paramref name="input"/> and into memory of this path, valid until the next call.</param>
    /// <param name="answers">Replies for the device; their bytes are valid until it was emptied and the next call came.</param>
    /// <param name="counters">Of this queue of the segment.</param>
    /// <returns>Index of the first frame not taken: <see cref="FrameBatch.Count"/> when all were.</returns>
    public int Process(FrameBatch input, int first, Segment segment, SendBatch output, GatherBatch answers, QueueCounters counters)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(input.Headroom, segment.Headroom);
        _arena.Clear();
        _trains.Begin();
        (_memory, _segment) = (input.Memory, segment);
        ReadOnlySpan<Frame> frames = input.Frames;
        int shown = Observer?.Begin(frames.Length) ?? frames.Length;
        int next = first;
        if (segment.Bridge is { } bridge) next = ProcessBridged(frames, first, shown, input.Memory, segment, bridge, output, answers, counters);
        else for (_routes.Begin(first, segment.Routes); next < frames.Length; next++)
        {
            _routes.Reach(next, frames, input.Memory, segment.Routes);
            bool isAwaited = next >= shown && ShowArrival(next, frames[next]);
            long answered = counters.EgressAnswered;
            _refusal = null;
            if (!Take(next, frames[next], input.Memory, segment, output, answers, counters))
            {
                Observer?.Cancel();
                break;
            }
            if (isAwaited || _refusal is not null) ShowOutcome(frames[next], output, counters.EgressAnswered != answered);
        }
        output.Seal();
        return next;
    }

    /// <summary>Counts every train of a batch that was sent as what became of it.</summary>
    public void Account(SendBatch output, QueueCounters counters)
    {
        if (Observer is { } observer && _segment is { } segment)
            observer.Sent(output, observer.Begin(output.Count), segment, _options, _memory!, _arena.Memory);
        foreach (ref readonly DatagramTrain train in output.Trains)
        {
            if (train.Outcome == SendOutcome.Sent)
            {
                counters.EgressOut.Add(train.Packets, train.InnerBytes, train.SuperPackets);
                train.Peer.Traffic.Egress(_options.Queue).Add(train.Packets, train.InnerBytes, train.SuperPackets);
                continue;
            }
            DropReason reason = ReasonOf(train.Outcome);
            counters.Drop(reason, train.Packets);
            train.Peer.Traffic.Dropped(_options.Queue, reason) += train.Packets;
        }
    }

    /// <returns>False when the frame has to wait for an empty output; nothing was counted then.</returns>
    private bool Take(int index, in Frame frame, PacketMemory memory, Segment segment, SendBatch output, GatherBatch answers, QueueCounters counters)
    {
        Span<byte> bytes = memory.Span(frame.Offset, frame.Length);
        if (InnerPacket.TryParse(bytes, out InnerPacket packet) != WireStatus.Ok)
            return Drop(DropReason.EgressMalformed, 1, frame.Length, counters);
        if (!packet.IsIpv4 && !packet.IsIpv6)
            return TakeOther(frame, bytes, packet, memory, segment, output, answers, counters);
        if (!OffloadRequest.IsConsistent(frame.Offload, packet, out int segments))
            return Drop(DropReason.EgressBadOffload, 1, frame.Length, counters);
        if (IsSolicitation(bytes, packet))
        {
            bool unfinished = (frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) != 0;
            return Answered(_neighbors.AnswerSolicitation(bytes, packet, unfinished, segment, answers), frame.Length, counters);
        }

        long innerBytes = segments == 1 ? frame.Length : ((long)segments * packet.HeadersEnd) + packet.End - packet.HeadersEnd;
        if (IsGroup(bytes, packet)) return Drop(DropReason.EgressMulticast, segments, innerBytes, counters);
        int value = _routes.Route(index, packet, segment);
        int route = segment.PeerOf(value, packet.FlowHash);
        if (route < 0) return Unroutable(bytes, packet, value, segments, innerBytes, answers, counters);
        OuterFlow flow = FlowTo(segment.Peers[route], packet);
        if (flow.Peer.Path.LeadsBack || IsFor(flow.Peer, packet)) return Drop(DropReason.EgressLoop, segments, innerBytes, counters, flow.Peer);
        if (segment.Tunnel.IsIpInIp && IpInIpEntry.Refusal(bytes, packet, segment, _options, ref flow, out int limitOffset) is { } refusal)
        {
            // RFC 2473, 4.1.1 a.
            if (refusal == DropReason.EgressEncapsulationLimit) Tell(bytes, packet, IcmpError.ParameterProblem(limitOffset), answers, counters);
            return Drop(refusal, segments, innerBytes, counters, flow.Peer);
        }
        return frame.Offload.GsoType == VirtioGsoType.None || segments == 1
            ? TakePacket(frame, bytes, packet, flow, route, memory, segment, output, answers, counters)
            : TakeSuperPacket(frame, packet, segments, flow, route, memory, segment, output, answers, counters);
    }

    /// <summary>ARP is answered, or follows the route of its target; nothing else without IP is carried.</summary>
    private bool TakeOther(
        in Frame frame, Span<byte> bytes, in InnerPacket packet, PacketMemory memory, Segment segment, SendBatch output, GatherBatch answers, QueueCounters counters)
    {
        if (packet.EtherType != EtherTypes.Arp) return Drop(DropReason.EgressNotIp, 1, frame.Length, counters);
        if (ArpPacket.TryParse(bytes[packet.NetworkOffset..], out ArpPacket arp) != WireStatus.Ok)
            return Drop(DropReason.EgressMalformed, 1, frame.Length, counters);
        if (arp.Operation == ArpOperation.Request) return Answered(_neighbors.AnswerArp(arp, segment, answers), frame.Length, counters);
        if (arp.Operation != ArpOperation.Reply || segment.Tunnel.IsBareIp) return Drop(DropReason.EgressNotIp, 1, frame.Length, counters);
        int value = segment.Routes.LookupV4(arp.TargetAddress);
        int route = segment.PeerOf(value, packet.FlowHash);
        if (route < 0) return Drop(Refusal(value).Reason, 1, frame.Length, counters);
        if (segment.Peers[route].Path.LeadsBack) return Drop(DropReason.EgressLoop, 1, frame.Length, counters, segment.Peers[route]);
        Frame plain = frame with { Offload = default };
        return TakePacket(plain, bytes, packet, FlowTo(segment.Peers[route], packet), route, memory, segment, output, answers, counters);
    }

    private bool TakePacket(
        in Frame frame, Span<byte> bytes, in InnerPacket packet, in OuterFlow flow, int route, PacketMemory memory, Segment segment, SendBatch output,
        GatherBatch answers, QueueCounters counters)
    {
        int prefix = PrefixLength(packet, segment);
        int length = prefix + frame.Length - packet.NetworkOffset;
        int room = RoomFor(flow, segment);
        if (length > room && !flow.MayFragment)
            return TakeOversize(frame, bytes, packet, flow, room - prefix, route, memory, segment, output, answers, counters);
        if (flow.Peer.Path.Repeats is { } repeats
            && TakeRepeat(frame, bytes, packet, flow, repeats, prefix, route, memory, segment, output, answers, counters) is { } taken) return taken;
        if (length > TrainBuilder.MaxLength) return Drop(DropReason.EgressTooBig, 1, frame.Length, counters, flow.Peer);
        if (output.FreeTrains == 0 || output.FreeSlices == 0) return NoRoom(output, 1, frame.Length, counters, flow.Peer);

        bool unfinished = (frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) != 0;
        if (MssClamp.IsSyn(bytes, packet))
            MssClamp.Apply(bytes, packet, flow.Peer.MtuPolicy, Math.Min(segment.Mtu, room - prefix), unfinished);
        if (unfinished) ChecksumOffload.Finish(bytes, packet, frame.Offload);
        int start = WritePrefix(frame, packet, route, prefix, memory, segment);
        counters.EgressIn.Add(1, frame.Length, 0);
        output.AddSlice(_trains.Place(output, flow, length, length - segment.HeaderLength), memory.Slice(start, length));
        return true;
    }

    private bool TakeSuperPacket(
        in Frame frame, in InnerPacket packet, int segments, in OuterFlow flow, int route, PacketMemory memory, Segment segment, SendBatch output,
        GatherBatch answers, QueueCounters counters)
    {
        int prefix = PrefixLength(packet, segment);
        int headers = prefix + packet.HeadersEnd - packet.NetworkOffset;
        int payload = packet.End - packet.HeadersEnd;
        int room = RoomFor(flow, segment);
        if (headers + frame.Offload.SegmentSize > room && !flow.MayFragment)
            return TakeOversizeSuperPacket(frame, packet, segments, flow, room, prefix, route, memory, segment, output, answers, counters);
        long innerBytes = ((long)segments * (headers - segment.HeaderLength)) + payload;
        int datagram = headers + frame.Offload.SegmentSize;
        if (datagram > TrainBuilder.MaxLength) return Drop(DropReason.EgressTooBig, segments, innerBytes, counters, flow.Peer);
        if (output.FreeTrains < TrainBuilder.TrainsFor(segments, datagram) || output.FreeSlices < 2 * segments
            || !_arena.Fits(segments, headers + TunnelSegmenter.MaxPrefixLength))
            return NoRoom(output, segments, innerBytes, counters, flow.Peer);

        counters.EgressIn.Add(segments, innerBytes, 1);
        counters.EgressSizes.Add(frame.Length);
        int start = WritePrefix(frame, packet, route, prefix, memory, segment);
        var super = new SuperPacket(memory.Span(start, headers + payload), prefix, packet, frame.Offload.SegmentSize);
        int payloadStart = frame.Offset + packet.HeadersEnd;
        if (packet.Protocol != IpProtocols.Tcp
            || !_tunnelSegmenter.TryEmit(
                output, flow, super, frame.Offload, memory, payloadStart, segments, segment.HeaderLength, segment.TunnelSuperPackets))
            _segmenter.Segment(output, flow, super, segment.HeaderLength, memory, payloadStart);
        return true;
    }

    /// <summary>Bytes from the tunnel header to the IP packet. VLAN tags count only where they are kept.</summary>
    private static int PrefixLength(in InnerPacket packet, Segment segment) =>
        segment.PrefixLength + ((packet.NetworkOffset - EthernetFrame.MinHeaderLength) & segment.VlanMask);

    /// <summary>
    /// Writes the tunnel header, and where there is an inner Ethernet header its addresses, in front of the inner packet. VLAN tags that are kept
    /// stay where they are; others are thereby stripped (RFC 7348, 6.1).
    /// </summary>
    /// <returns>Where the datagram starts in the memory.</returns>
    private static int WritePrefix(in Frame frame, in InnerPacket packet, int route, int length, PacketMemory memory, Segment segment)
    {
        int network = frame.Offset + packet.NetworkOffset;
        int start = network - length;
        uint mark = segment.MarksGroupPolicy ? MarkedSource.Read(memory.Span(frame.Offset, EthernetFrame.MinHeaderLength)) & VxlanHeader.GroupPolicyMask : 0;
        segment.Templates[route].CopyTo(memory.Span(start, length));
        // Of IP-in-IP in front of the packet, where the device's frame has the same.
        BinaryPrimitives.WriteUInt16BigEndian(memory.Span(network + segment.EtherTypeOffset, sizeof(ushort)), packet.EtherType);
        if (mark != 0) VxlanHeader.WriteGroupPolicy(memory.Span(start, VxlanHeader.Length), mark);
        return start;
    }

    /// <summary>Outer traffic class: our DSCP, or the inner one, with the inner ECN (RFC 6040, 4.1, normal mode).</summary>
    private OuterFlow FlowTo(Peer peer, in InnerPacket packet) => new(
        peer,
        (ushort)FlowHash.Index(packet.FlowHash, _options.SourcePorts.Length),
        (byte)(_trafficClass | (packet.TrafficClass & _copiedTrafficClass)),
        (byte)(packet.TimeToLive & _copiedTimeToLive));

    /// <summary>As <see cref="Segment.RoomTo"/>; less where the packet brings an encapsulation limit and others are sent without.</summary>
    private static int RoomFor(in OuterFlow flow, Segment segment)
    {
        int room = segment.RoomTo(flow.Peer);
        bool isExtra = flow.EncapsulationLimit != DatagramTrain.NoLimit && segment.Tunnel.EncapsulationLimit is null;
        return isExtra ? room - TunnelEncapsulationLimit.HeaderLength : room;
    }

    /// <summary>True for the peer's own outer address: what is for the tunnel's end would enter the tunnel again, in which it is to travel.</summary>
    private static bool IsFor(Peer peer, in InnerPacket packet) =>
        peer.Endpoint.Address == (packet.IsIpv4 ? IpBits.Mapped(packet.DestinationV4) : packet.DestinationV6);

    private static bool IsSolicitation(ReadOnlySpan<byte> frame, in InnerPacket packet) =>
        packet.IsIpv6 && packet.Protocol == IpProtocols.Icmpv6 && !packet.IsFragment
        && Icmpv6Header.TryParse(frame[packet.TransportOffset..packet.End], out Icmpv6Header icmp) == WireStatus.Ok
        && icmp.Type == Icmpv6Types.NeighborSolicitation;

    private static bool IsGroup(ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        if (new MacAddress(frame).IsGroup) return true;
        return packet.IsIpv4
            ? packet.DestinationV4 >> 28 == 0xe || packet.DestinationV4 == uint.MaxValue
            : packet.DestinationV6 >> 120 == 0xff;
    }

    /// <param name="peer">Whom it was for; null: nobody, or nobody in particular.</param>
    private bool Drop(DropReason reason, int packets, long bytes, QueueCounters counters, Peer? peer = null)
    {
        counters.EgressIn.Add(packets, bytes, packets > 1 ? 1 : 0);
        counters.Drop(reason, packets);
        Note(reason, peer, packets);
        return true;
    }

    /// <summary>Remembers why what is being taken goes no further.</summary>
    private void Note(DropReason reason, Peer? peer, int packets)
    {
        (_refusal, _refusedPeer) = (reason, peer);
        if (peer is not null) peer.Traffic.Dropped(_options.Queue, reason) += packets;
    }

    private bool Answered(DropReason? refusal, int bytes, QueueCounters counters)
    {
        if (refusal is { } reason) return Drop(reason, 1, bytes, counters);
        counters.EgressIn.Add(1, bytes, 0);
        counters.EgressAnswered++;
        return true;
    }

    private bool NoRoom(SendBatch output, int packets, long bytes, QueueCounters counters, Peer peer) =>
        output.Count == 0 && Drop(DropReason.EgressQueueFull, packets, bytes, counters, peer);

    internal static DropReason ReasonOf(SendOutcome outcome) => outcome switch
    {
        SendOutcome.QueueFull => DropReason.EgressQueueFull,
        SendOutcome.TooBig => DropReason.EgressTooBig,
        SendOutcome.Unreachable => DropReason.EgressUnreachable,
        _ => DropReason.EgressRefused,
    };
}
