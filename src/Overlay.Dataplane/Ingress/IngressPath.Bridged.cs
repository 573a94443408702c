using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Ingress;

/// <content>
/// Bridged segments: every frame is the device's, whatever its destination, and never another peer's (split horizon); its source is learned.
/// </content>
public sealed partial class IngressPath
{
    /// <summary>No source is this: an address has 48 bits.</summary>
    private const ulong NoSource = ulong.MaxValue;

    /// <summary>Takes the datagrams of a train that belong to one bridged segment, up to the first that does not.</summary>
    /// <returns>Where that one starts, or the train's end.</returns>
    private int ProcessBridged<TEncapsulation>(
        PacketMemory memory, BridgedRun run, in ReceivedTrain train, Peer peer, Segment segment, Bridge bridge, IngressPort port, in SegmentSizes sizes)
        where TEncapsulation : struct, IEncapsulation
    {
        ref TrafficCounters traffic = ref peer.Traffic.Ingress(queue);
        int location = bridge.LocationOf(peer);
        long now = bridge.Now;
        // A run may have been begun by another peer: only a frame whose source was found to be this peer's may continue one.
        ulong admitted = NoSource;
        int offset = run.Offset;
        do
        {
            int length = Math.Min(run.DatagramSize, run.End - offset);
            ReadOnlySpan<byte> datagram = memory.Span(offset, length);
            if (!TEncapsulation.TryParse(datagram, out TunnelHeader tunnel, out _) || tunnel.Key != run.Key) return offset;
            int frameOffset = offset + tunnel.FrameStart;
            int frameLength = Math.Max(length - tunnel.FrameStart, 0);
            bool isAwaited = IsShown(offset + length == run.End) && ShowArrival(datagram, isTunnelled: true, tunnel, segment, peer, train);
            offset += length;
            _refusal = null;

            int packets = 1;
            long bytes = frameLength;
            long before = port.Coalescer.SuperPackets;
            if (!TEncapsulation.KnowsOptions(datagram, segment))
                Drop(port.Counters, DropReason.IngressCriticalOption);
            else if (tunnel.BareEtherType != 0)
                Drop(port.Counters, DropReason.IngressPayloadType);
            else if (frameLength < EthernetFrame.MinHeaderLength)
                Drop(port.Counters, DropReason.IngressInnerMalformed);
            else if (MacBits.Source(memory.Span(frameOffset, frameLength)) != admitted
                || !port.Coalescer.TryContinue(memory, frameOffset, frameLength, run.TrafficClass))
                packets = AdmitBridged(
                    memory, frameOffset, frameLength, length, run.TrafficClass, segment, bridge, peer, location, now, port, sizes,
                    learns: (tunnel.GroupPolicy & segment.GroupPolicyMask & VxlanHeader.DontLearn) == 0, ref admitted, ref bytes);
            port.Counters.IngressIn.Add(packets, bytes, 0);
            traffic.Add(packets, bytes, port.Coalescer.SuperPackets - before);
            if (_refusal is { } reason) peer.Traffic.Dropped(queue, reason)++;
            if (isAwaited || _refusal is not null) ShowOutcome(datagram, isTunnelled: true, tunnel, segment, peer, train, packets);
        }
        while (offset < run.End);
        return offset;
    }

    /// <param name="learns">False where the sender asks that the source be not learned (draft-smith-vxlan-group-policy, 2.1).</param>
    /// <returns>Packets that the frame stands for.</returns>
    private int AdmitBridged(
        PacketMemory memory, int offset, int length, int datagramLength, byte outerTrafficClass, Segment segment, Bridge bridge, Peer peer, int location,
        long now, IngressPort port, in SegmentSizes sizes, bool learns, ref ulong admitted, ref long bytes)
    {
        Span<byte> frame = memory.Span(offset, length);
        if (InnerPacket.TryParseFrame(frame, out InnerPacket packet) != WireStatus.Ok) return Drop(port.Counters, DropReason.IngressInnerMalformed);
        // Frames of hosts may have that EtherType too.
        if (packet.EtherType == EtherTypes.LocalExperimental && MacBits.IsReserved(MacBits.Destination(frame))
            && IsPathMessage(frame, packet, peer, out PathMessage message))
        {
            int taken = TakePathMessage(message, datagramLength, peer, segment, port.Counters);
            if (taken == 0) bytes = 0;
            return taken;
        }
        if (packet.VlanTags > segment.MaxVlanTags) return Drop(port.Counters, DropReason.IngressInnerVlan);
        if (!EcnDecapsulation.TryApply(frame, ref packet, outerTrafficClass)) return Drop(port.Counters, DropReason.IngressEcnConflict);
        ulong source = MacBits.Source(frame);
        if (!MacBits.IsHost(source)) return Drop(port.Counters, DropReason.IngressSourceMac);
        if (bridge.IsReserved(MacBits.Destination(frame))) return Drop(port.Counters, DropReason.IngressReservedMac);
        if (source != admitted)
        {
            LearnOutcome outcome = LearnOutcome.Known;
            if (learns ? !bridge.TryLearn(source, location, now, out outcome) : !bridge.MayComeFrom(source, location))
                return Drop(port.Counters, DropReason.IngressSpoofedMac);
            port.Counters.Count(outcome);
            // What was not learned is looked at again: the next frame may be one to learn from.
            if (learns) admitted = source;
        }
        if (learns && !bridge.ObserveNeighbour(frame, packet, unfinished: false, now)) port.Counters.NeighboursNotLearned++;
        int packets = port.Coalescer.Add(memory, offset, length, packet, sizes);
        bytes += (packets - 1) * (long)packet.HeadersEnd;
        return packets;
    }

    /// <summary>The rest of a train, from its first datagram of a bridged segment on.</summary>
    /// <param name="Offset">In the memory.</param>
    /// <param name="End">Of the train.</param>
    /// <param name="DatagramSize">UDP payload bytes of each datagram; the last may be shorter.</param>
    /// <param name="TrafficClass">Of the outer header.</param>
    /// <param name="Key"><see cref="TunnelHeader.Key"/> of the segment's datagrams.</param>
    private readonly record struct BridgedRun(int Offset, int End, int DatagramSize, byte TrafficClass, ulong Key);
}
