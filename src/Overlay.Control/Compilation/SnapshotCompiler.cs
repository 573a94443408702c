using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Wire;

namespace Overlay.Control.Compilation;

/// <summary>Turns state into what the packet path reads. Pure: equal states give equal snapshots.</summary>
public static class SnapshotCompiler
{
    /// <summary>
    /// Compiles a whole state. Segments keep the order of <see cref="NetworkState.Segments"/>, which therefore must not change while
    /// workers run.
    /// </summary>
    /// <param name="state">What the network should be.</param>
    /// <param name="queues">Worker queues, each with counters of its own.</param>
    /// <param name="previous">The snapshot in force, whose peers' counters are carried on by name; null at start.</param>
    public static ForwardingSnapshot Compile(NetworkState state, int queues, ForwardingSnapshot? previous = null)
    {
        Dictionary<string, Peer> before = (previous?.Peers.All ?? []).ToDictionary(peer => peer.Name);

        var peers = new Dictionary<string, Peer>();
        foreach (PeerState peer in state.Peers)
        {
            Peer? known = before.GetValueOrDefault(peer.Name);
            peers.Add(peer.Name, new Peer(peer.Name, peer.Endpoint, peer.Mac, known?.Traffic ?? new PeerTraffic(queues))
            {
                // Another address is another path.
                Path = known?.Endpoint.Address == peer.Endpoint.Address ? known.Path : new PeerPath(),
                MtuPolicy = peer.MtuPolicy,
                ChecksReversePath = peer.ChecksReversePath,
            });
        }

        RouteSet routes = RouteSet.Of(state.Routes);
        Dictionary<string, PeerState> states = state.Peers.ToDictionary(peer => peer.Name);
        var segments = new Segment[state.Segments.Count];
        for (int i = 0; i < segments.Length; i++)
        {
            SegmentState segment = state.Segments[i];
            var compiled = new RouteCompiler(segment, peers, states);
            Segment? inForce = previous?.Segments.FirstOrDefault(each => each.Name == segment.Name);
            RouteTable table = compiled.Compile(routes, inForce?.Routes);
            segments[i] = new Segment(i, segment.Name, segment.Vni, segment.DeviceMac, segment.Mtu, table, compiled.Peers, segment.Tunnel)
            {
                PeerPort = segment.PeerPort,
                Groups = compiled.Groups,
                Bridge = segment.Bridging is null ? null : BridgeCompiler.Compile(segment, peers, inForce?.Bridge),
            };
        }
        return new ForwardingSnapshot(state.Revision, segments, new PeerTable(peers.Values))
        {
            IpInIpSegment = Array.Find(segments, segment => segment.Name == state.IpInIpSegment),
            OwnAddresses = [.. state.OwnAddresses.Select(IpBits.V6OrMapped)],
        };
    }
}
