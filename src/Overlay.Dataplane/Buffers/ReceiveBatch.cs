using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Tunnels;

namespace Overlay.Dataplane.Buffers;

/// <summary>Datagrams of one sender that arrived together: of equal length, the last may be shorter.</summary>
public struct ReceivedTrain
{
    /// <summary>Where the first UDP payload, or inner packet of IP-in-IP, starts in the batch's memory; the others follow without gap.</summary>
    public int Offset;

    /// <summary>Bytes of all payloads together.</summary>
    public int Length;

    /// <summary>UDP payload bytes of each datagram; equals <see cref="Length"/> when there is one.</summary>
    public int SegmentSize;

    public UnderlayEndpoint Source;

    /// <summary>IPv4 TOS or IPv6 traffic class of the outer header, ECN included.</summary>
    public byte TrafficClass;

    /// <summary>By the port, or for IP-in-IP the protocol, that it arrived on.</summary>
    public Encapsulation Encapsulation;

    /// <summary>IP-in-IP only: the protocol of the outer header, 4 or 41.</summary>
    public byte Protocol;
}

/// <summary>
/// Trains received in one go, each in a slot of its own. The underlay fills it; the bytes are valid until the next receive.
/// </summary>
public sealed class ReceiveBatch
{
    /// <summary>
    /// Bytes a slot holds: more than the largest UDP payload, and no multiple of the page, so that slots do not share cache sets.
    /// </summary>
    public const int SlotLength = 65_536 + 64;

    /// <summary>Bytes before the first slot, one cache line: an Ethernet header may be imagined in front of what arrives there.</summary>
    private const int Headroom = 64;

    private readonly ReceivedTrain[] _trains;

    public ReceiveBatch(int capacity)
    {
        Memory = new PacketMemory(Headroom + (capacity * SlotLength));
        _trains = new ReceivedTrain[capacity];
    }

    public PacketMemory Memory { get; }

    public int Capacity => _trains.Length;

    public int Count { get; set; }

    public Span<ReceivedTrain> Trains => _trains.AsSpan(0, Count);

    /// <summary>For the underlay: every slot, also those beyond <see cref="Count"/>.</summary>
    public Span<ReceivedTrain> Slots => _trains;

    public static int SlotOffset(int slot) => Headroom + (slot * SlotLength);
}
