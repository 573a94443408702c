using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Mtu;
using Overlay.Wire;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// Another node's tunnel endpoint. Immutable but for its counters and its path; a snapshot that follows reuses the <see cref="Traffic"/> and
/// <see cref="Path"/> of the peer of the same name, so that they outlive a reload.
/// </summary>
public sealed class Peer(string name, UnderlayEndpoint endpoint, MacAddress mac, PeerTraffic traffic)
{
    public string Name { get; } = name;

    public UnderlayEndpoint Endpoint { get; } = endpoint;

    /// <summary>Inner destination MAC of what is sent to it: the address of its device in the segment.</summary>
    public MacAddress Mac { get; } = mac;

    public PeerTraffic Traffic { get; } = traffic;

    /// <summary>How large a packet the way to it carries.</summary>
    public PeerPath Path { get; init; } = new();

    /// <summary>What is done about packets that are larger.</summary>
    public MtuPolicy MtuPolicy { get; init; } = MtuPolicy.Default;

    /// <summary>
    /// IP packets from it are taken only if the route of their source leads to it: strict reverse path forwarding (RFC 3704, 2.2), which RFC
    /// 4213, 3.6 recommends for tunnels towards edge networks.
    /// </summary>
    public bool ChecksReversePath { get; init; }

    /// <summary>The same peer, with the same counters and path, on another UDP port or with another device.</summary>
    public Peer At(ushort port, MacAddress mac) => port == Endpoint.Port && mac == Mac ? this
        : new Peer(Name, Endpoint with { Port = port }, mac, Traffic) { Path = Path, MtuPolicy = MtuPolicy, ChecksReversePath = ChecksReversePath };
}

/// <summary>A peer's counters, one of each a queue, so that no two threads write one line.</summary>
public sealed class PeerTraffic(int queues)
{
    // No two queues write to one cache line.
    private const int ReasonsOfALane = 64;

    private readonly Lane[] _lanes = new Lane[queues];
    private readonly long[] _drops = new long[queues * ReasonsOfALane];

    public int Queues => _lanes.Length;

    /// <summary>Towards the peer.</summary>
    public ref TrafficCounters Egress(int queue) => ref _lanes[queue].Egress;

    /// <summary>From the peer.</summary>
    public ref TrafficCounters Ingress(int queue) => ref _lanes[queue].Ingress;

    /// <summary>Packets from the peer that were dropped, and packets towards it that were once it was known that they were for it.</summary>
    public ref long Dropped(int queue, DropReason reason) => ref _drops[(queue * ReasonsOfALane) + (int)reason];

    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Sequential, Size = 128)]
    private struct Lane
    {
        public TrafficCounters Egress;
        public TrafficCounters Ingress;
    }
}
