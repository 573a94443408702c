using Overlay.Control.Model;
using Overlay.Dataplane.Bridging;
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
            });
        }

        Dictionary<string, PeerState> states = state.Peers.ToDictionary(peer => peer.Name);
        ILookup<string, RouteState> routes = state.Routes.ToLookup(route => route.Segment);
        var segments = new Segment[state.Segments.Count];
        for (int i = 0; i < segments.Length; i++)
        {
            SegmentState segment = state.Segments[i];
            Bridge? bridge = previous?.Segments.FirstOrDefault(each => each.Name == segment.Name)?.Bridge;
            segments[i] = CompileSegment(i, segment, routes[segment.Name], peers, name => MacIn(segment.Name, states[name]), bridge);
        }
        return new ForwardingSnapshot(state.Revision, segments, new PeerTable(peers.Values))
        {
            IpInIpSegment = Array.Find(segments, segment => segment.Name == state.IpInIpSegment),
            OwnAddresses = [.. state.OwnAddresses.Select(IpBits.V6OrMapped)],
        };
    }

    private static MacAddress MacIn(string segment, PeerState peer) => peer.Macs.TryGetValue(segment, out MacAddress mac) ? mac : peer.Mac;

    private static Segment CompileSegment(
        int index, SegmentState segment, IEnumerable<RouteState> routes, Dictionary<string, Peer> peers, Func<string, MacAddress> macOf, Bridge? previous)
    {
        var used = new List<Peer>();
        var indexes = new Dictionary<string, int>();
        var prefixes = new List<RoutePrefix>();
        foreach (RouteState route in routes)
        {
            if (!indexes.TryGetValue(route.Peer, out int value))
            {
                value = used.Count;
                indexes.Add(route.Peer, value);
                Peer peer = peers[route.Peer];
                used.Add(peer.At(segment.PeerPort ?? peer.Endpoint.Port, macOf(route.Peer)));
            }
            prefixes.Add(new RoutePrefix(IpBits.V6OrMapped(route.Prefix.BaseAddress), route.Prefix.PrefixLength, value));
        }
        return new Segment(index, segment.Name, segment.Vni, segment.DeviceMac, segment.Mtu, new RouteTable(prefixes), [.. used], segment.Tunnel)
        {
            Bridge = segment.Bridging is null ? null : BridgeCompiler.Compile(segment, peers, previous),
        };
    }
}
