using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Control.Compilation;

/// <summary>Turns the routes of one segment into its table, and numbers the peers and groups that they name.</summary>
/// <param name="segment">Whose routes.</param>
/// <param name="peers">By name.</param>
/// <param name="states">By name: what <paramref name="peers"/> were made from.</param>
internal sealed class RouteCompiler(SegmentState segment, IReadOnlyDictionary<string, Peer> peers, IReadOnlyDictionary<string, PeerState> states)
{
    private readonly Dictionary<string, int> _numbers = [];
    private readonly Dictionary<RouteTargetState, int> _values = [];

    /// <summary>By the index that values name.</summary>
    public List<Peer> Peers { get; } = [];

    /// <summary>By the index that values name.</summary>
    public List<PeerGroup> Groups { get; } = [];

    /// <param name="sorted">Of one segment, the best of each prefix first.</param>
    public RouteTable Compile(ReadOnlySpan<RouteState> sorted)
    {
        var prefixes = new List<RoutePrefix>(sorted.Length);
        for (int i = 0; i < sorted.Length; i++)
        {
            ref readonly RouteState route = ref sorted[i];
            if (i > 0 && route.HasPrefixOf(sorted[i - 1])) continue;
            prefixes.Add(new RoutePrefix(route.Address, route.Length, Value(route.Target)));
        }
        return new RouteTable(prefixes);
    }

    private int Value(RouteTargetState target)
    {
        if (_values.TryGetValue(target, out int value)) return value;
        value = Target(target).Value;
        _values.Add(target, value);
        return value;
    }

    private RouteTarget Target(RouteTargetState target)
    {
        switch (target.Action)
        {
            case RouteAction.Peer:
                string name = target.Peers[0].Name;
                // A direct route is the kernel's business. What comes here all the same, while it is being put in place, takes the tunnel.
                return target.Direct == DirectMode.HostGateway && !states[name].IsOnLink
                    ? new RouteTarget(RouteAction.Unreachable)
                    : new RouteTarget(RouteAction.Peer, Number(name));
            case RouteAction.Group:
                Groups.Add(new PeerGroup([.. target.Peers.Select(peer => new GroupMember(Number(peer.Name), peer.Name, peer.Weight))]));
                return new RouteTarget(RouteAction.Group, Groups.Count - 1);
            default:
                return new RouteTarget(target.Action);
        }
    }

    private int Number(string name)
    {
        if (_numbers.TryGetValue(name, out int number)) return number;
        Peer peer = peers[name];
        number = Peers.Count;
        _numbers.Add(name, number);
        PeerState state = states[name];
        MacAddress mac = state.Macs.TryGetValue(segment.Name, out MacAddress own) ? own : state.Mac;
        Peers.Add(peer.At(segment.PeerPort ?? peer.Endpoint.Port, mac));
        return number;
    }
}
