using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;

namespace Overlay.Dataplane.Trials;

/// <summary>Snapshots that packets can be tried on: whatever the packet path counts, notes or learns stays in them.</summary>
public static class TrialSnapshot
{
    /// <summary>The same segments, peers and routes, with counters, paths and learned addresses of their own, as they are now.</summary>
    public static ForwardingSnapshot Of(ForwardingSnapshot snapshot)
    {
        var copies = new Dictionary<Peer, Peer>(ReferenceEqualityComparer.Instance);
        Segment[] segments = [.. snapshot.Segments.Select(segment => Copy(segment, CopyOf))];
        return new ForwardingSnapshot(snapshot.Revision, segments, new PeerTable(snapshot.Peers.All.Select(CopyOf)))
        {
            IpInIpSegment = snapshot.IpInIpSegment is { } ipip ? segments[ipip.Index] : null,
            OwnAddresses = snapshot.OwnAddresses,
        };

        Peer CopyOf(Peer peer)
        {
            if (!copies.TryGetValue(peer, out Peer? copy)) copies.Add(peer, copy = Copy(peer));
            return copy;
        }
    }

    /// <summary>
    /// What a peer forwards by, as far as this node can tell: a segment of the same VNI and format, whose device has the MAC that is sent to,
    /// and this node as its peer.
    /// </summary>
    /// <param name="segment">Ours.</param>
    /// <param name="peer">As <paramref name="segment"/> reaches it.</param>
    /// <param name="self">Our outer address in the peer's family.</param>
    public static ForwardingSnapshot AtPeer(Segment segment, Peer peer, UnderlayEndpoint self)
    {
        var node = new Peer("this node", self, segment.DeviceMac, new PeerTraffic(1)) { Path = Copy(peer.Path), MtuPolicy = peer.MtuPolicy };
        var there = new Segment(0, segment.Name, segment.Vni, peer.Mac, segment.Mtu, new RouteTable([]), [node], segment.Tunnel)
        {
            // Its own MAC is not known, and no destination of a bridged segment.
            Bridge = segment.Bridge is null ? null : new Bridge(peer.Mac, [(1, node, node)], [1], [], [])
            {
                AgeingSeconds = segment.Bridge.AgeingSeconds,
                ForwardsReserved = segment.Bridge.ForwardsReserved,
                LastNumber = 1,
            },
        };
        return new ForwardingSnapshot(1, [there], new PeerTable([node]))
        {
            IpInIpSegment = segment.Tunnel.IsIpInIp ? there : null,
            OwnAddresses = [peer.Endpoint.Address],
        };
    }

    private static Segment Copy(Segment segment, Func<Peer, Peer> copyOf) => new(
        segment.Index, segment.Name, segment.Vni, segment.DeviceMac, segment.Mtu, segment.Routes, [.. segment.Peers.Select(copyOf)], segment.Tunnel)
    {
        Groups = segment.Groups,
        PeerPort = segment.PeerPort,
        Bridge = segment.Bridge?.Copy(segment.DeviceMac, copyOf),
    };

    private static Peer Copy(Peer peer) =>
        new(peer.Name, peer.Endpoint, peer.Mac, new PeerTraffic(1)) { Path = Copy(peer.Path), MtuPolicy = peer.MtuPolicy, ChecksReversePath = peer.ChecksReversePath };

    /// <summary>A packet that is tried is sent for the first time, so that none is cut for having been sent again.</summary>
    private static PeerPath Copy(PeerPath path) => new() { LinkMtu = path.LinkMtu, FoundMtu = path.FoundMtu, LeadsBack = path.LeadsBack };
}
