using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;

namespace Overlay.Agent.Paths;

/// <summary>A peer whose path is looked after.</summary>
internal sealed class ProbedPeer(Peer peer, Segment segment, PathSearch search)
{
    private long _sent;

    /// <summary>As <see cref="Segment"/> reaches it.</summary>
    public Peer Peer { get; private set; } = peer;

    /// <summary>Whose encapsulation probes go in.</summary>
    public Segment Segment { get; private set; } = segment;

    public PathSearch Search { get; } = search;

    /// <summary>What the log says of its path: an MTU less than the link's or 0, and whether it is a black hole.</summary>
    public (int Mtu, bool IsBlackHole) Told { get; set; }

    /// <summary>Packets were sent to it when last looked.</summary>
    public bool IsActive { get; private set; }

    /// <summary>Takes over the same peer of another snapshot.</summary>
    public void Follow(Peer peer, Segment segment) => (Peer, Segment) = (peer, segment);

    /// <summary>Looks whether packets were sent since the last call.</summary>
    public void LookForTraffic()
    {
        long sent = 0;
        for (int queue = 0; queue < Peer.Traffic.Queues; queue++) sent += Peer.Traffic.Egress(queue).Packets;
        IsActive = sent != _sent;
        _sent = sent;
    }
}
