using Overlay.Wire;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// Everything the packet path knows, immutable, published whole by one volatile write and read once a batch. Made only by the compiler in
/// Overlay.Control.
/// </summary>
public sealed class ForwardingSnapshot(long revision, Segment[] segments, PeerTable peers)
{
    public long Revision { get; } = revision;

    /// <summary>By <see cref="Segment.Index"/>.</summary>
    public Segment[] Segments { get; } = segments;

    public PeerTable Peers { get; } = peers;

    /// <summary>The segment of a VNI, or null. Segments are few; a linear scan stays in one cache line.</summary>
    public Segment? FindSegment(uint vni)
    {
        foreach (Segment segment in Segments)
        {
            if (segment.Vni == vni) return segment;
        }
        return null;
    }
}

/// <summary>A virtual network: one VNI, one device, one route table.</summary>
public sealed class Segment(int index, string name, uint vni, MacAddress deviceMac, int mtu, RouteTable routes, Peer[] peers)
{
    /// <summary>Position among the snapshot's segments and among a worker's devices; stable across reloads.</summary>
    public int Index { get; } = index;

    public string Name { get; } = name;

    /// <summary>24-bit VXLAN network identifier.</summary>
    public uint Vni { get; } = vni;

    /// <summary>MAC of our device: inner source of what we send, inner destination of what we accept.</summary>
    public MacAddress DeviceMac { get; } = deviceMac;

    /// <summary>MTU of our device: most bytes of an inner IP packet.</summary>
    public int Mtu { get; } = mtu;

    /// <summary>Inner destination prefix to index into <see cref="Peers"/>.</summary>
    public RouteTable Routes { get; } = routes;

    public Peer[] Peers { get; } = peers;
}

/// <summary>The slot through which a new snapshot reaches the workers.</summary>
public sealed class SnapshotSlot(ForwardingSnapshot initial)
{
    private volatile ForwardingSnapshot _current = initial;

    public ForwardingSnapshot Current
    {
        get => _current;
        set => _current = value;
    }
}
