namespace Overlay.Dataplane.Counters;

/// <summary>
/// What passed in one direction. Written by one worker thread, read by any: each field is a 64-bit word, so a reader sees whole values
/// that may be a batch apart.
/// </summary>
public struct TrafficCounters
{
    /// <summary>Packets as they are on the wire: a super-packet counts once a segment.</summary>
    public long Packets;

    /// <summary>Bytes of the inner frames of those packets, Ethernet header included.</summary>
    public long Bytes;

    /// <summary>Super-packets that carried some of those packets between us and the device.</summary>
    public long SuperPackets;

    public void Add(long packets, long bytes, long superPackets)
    {
        Packets += packets;
        Bytes += bytes;
        SuperPackets += superPackets;
    }
}
