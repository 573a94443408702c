namespace Overlay.Dataplane.Counters;

/// <summary>
/// What one queue of one segment did. Written by its worker, read by any thread. For each direction
/// <c>In.Packets + Replicated (egress only) = Out.Packets + Answered (egress only) + the drops of that direction</c>.
/// </summary>
public sealed class QueueCounters
{
    private readonly long[] _drops = new long[Enum.GetValues<DropReason>().Length];

    /// <summary>Frames read from the device, in packets after segmentation and fragmentation.</summary>
    public TrafficCounters EgressIn;

    /// <summary>Packets handed to the underlay.</summary>
    public TrafficCounters EgressOut;

    /// <summary>ARP and neighbour solicitations that were answered here.</summary>
    public long EgressAnswered;

    /// <summary>ICMP errors written to the device; each is about a packet that is counted as dropped, or that was cut smaller than asked.</summary>
    public long IcmpErrors;

    /// <summary>Further copies made of packets that went to several peers: a packet for three counts two here.</summary>
    public long EgressReplicated;

    /// <summary>Source MACs, from either side, that were known elsewhere before.</summary>
    public long MacMoves;

    /// <summary>Packets whose source MAC was not learned for want of room; they were forwarded.</summary>
    public long MacsNotLearned;

    /// <summary>Neighbours that were not learned for want of room; questions for them go to all.</summary>
    public long NeighboursNotLearned;

    /// <summary>Super-packets read from the device that went further.</summary>
    public SuperPacketSizes EgressSizes;

    /// <summary>Super-packets written to the device.</summary>
    public SuperPacketSizes IngressSizes;

    /// <summary>Datagrams received from the underlay.</summary>
    public TrafficCounters IngressIn;

    /// <summary>Packets written to the device; <see cref="TrafficCounters.SuperPackets"/> are the coalesced frames among them.</summary>
    public TrafficCounters IngressOut;

    /// <summary>Drops by <see cref="DropReason"/>, in packets.</summary>
    public ReadOnlySpan<long> Drops => _drops;

    /// <summary>Counts what became of a source MAC.</summary>
    internal void Count(Bridging.LearnOutcome outcome)
    {
        if (outcome == Bridging.LearnOutcome.Moved) MacMoves++;
        else if (outcome == Bridging.LearnOutcome.Full) MacsNotLearned++;
    }

    public void Drop(DropReason reason, int packets = 1) => _drops[(int)reason] += packets;

    /// <summary>The reason of least index that was counted; null where none was.</summary>
    internal DropReason? FirstDrop() => _drops.AsSpan().IndexOfAnyExcept(0L) is >= 0 and var reason ? (DropReason)reason : null;
}
