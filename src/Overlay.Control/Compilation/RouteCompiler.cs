using System.Runtime.CompilerServices;
using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Control.Compilation;

/// <summary>
/// Turns the routes of one segment into its table, and numbers the peers and groups that they name. Where few routes differ from those of the
/// table in force, it is changed rather than built anew, which takes some ten microseconds a route.
/// </summary>
/// <param name="segment">Whose routes.</param>
/// <param name="peers">By name.</param>
/// <param name="states">By name: what <paramref name="peers"/> were made from.</param>
internal sealed class RouteCompiler(SegmentState segment, IReadOnlyDictionary<string, Peer> peers, IReadOnlyDictionary<string, PeerState> states)
{
    /// <summary>One changed route in so many: beyond it, building anew is faster.</summary>
    private const int ChangedShare = 64;

    private const int FewRoutes = 1000;

    /// <summary>Groups that changes may leave behind, which no route names any more, and as many again as there were: 16 KB each.</summary>
    private const int SpareGroups = 64;

    /// <summary>What each table was made from, for as long as it lives.</summary>
    private static readonly ConditionalWeakTable<RouteTable, Numbering> Sources = [];

    private Numbering _numbering = new();

    /// <summary>By the index that values name.</summary>
    public Peer[] Peers => [.. _numbering.Names.Select(At)];

    /// <summary>By the index that values name.</summary>
    public PeerGroup[] Groups => [.. _numbering.Groups];

    /// <param name="routes">All routes.</param>
    /// <param name="before">Table of the segment in force, or null.</param>
    public RouteTable Compile(RouteSet routes, RouteTable? before)
    {
        RouteTable table = before is not null && Change(routes, before) is { } changed ? changed : Build(routes);
        _numbering.Routes = routes;
        Sources.AddOrUpdate(table, _numbering);
        return table;
    }

    private RouteTable Build(RouteSet routes)
    {
        _numbering = new Numbering();
        ReadOnlySpan<RouteState> sorted = routes.OfSegment(segment.Name);
        var prefixes = new List<RoutePrefix>(sorted.Length);
        for (int i = 0; i < sorted.Length; i = NextPrefix(sorted, i))
            prefixes.Add(new RoutePrefix(sorted[i].Address, sorted[i].Length, Value(sorted[i].Target)));
        _numbering.MostGroups = (2 * _numbering.Groups.Count) + SpareGroups;
        return new RouteTable(prefixes);
    }

    /// <returns>Null where too much differs.</returns>
    private RouteTable? Change(RouteSet routes, RouteTable before)
    {
        if (!Sources.TryGetValue(before, out Numbering? source) || !source.Names.TrueForAll(peers.ContainsKey)) return null;
        _numbering = source.Copy();
        foreach ((RouteTargetState target, int value) in source.Values)
        {
            // What was reachable directly may not be so any more.
            if (target.Direct == DirectMode.HostGateway && Target(target).Value != value) return null;
        }
        if (ReferenceEquals(routes, source.Routes)) return before;

        ReadOnlySpan<RouteState> old = source.Routes.OfSegment(segment.Name);
        ReadOnlySpan<RouteState> now = routes.OfSegment(segment.Name);
        int left = Math.Max(FewRoutes, now.Length / ChangedShare);
        RouteTable table = before;
        int o = 0;
        int n = 0;
        while (o < old.Length || n < now.Length)
        {
            int order = o == old.Length ? 1 : n == now.Length ? -1 : ComparePrefix(old[o], now[n]);
            bool isSame = order == 0 && old[o].Target.Equals(now[n].Target);
            if (!isSame && --left < 0) return null;
            if (order < 0) table = table.Without(old[o].Address, old[o].Length);
            else if (!isSame) table = table.With(new RoutePrefix(now[n].Address, now[n].Length, Value(now[n].Target)));
            if (order <= 0) o = NextPrefix(old, o);
            if (order >= 0) n = NextPrefix(now, n);
        }
        return _numbering.Groups.Count > _numbering.MostGroups ? null : table;
    }

    private static int ComparePrefix(in RouteState left, in RouteState right) =>
        left.Address != right.Address ? left.Address.CompareTo(right.Address) : left.Length.CompareTo(right.Length);

    /// <summary>Index behind all routes to one prefix, of which the first is the best.</summary>
    private static int NextPrefix(ReadOnlySpan<RouteState> sorted, int index)
    {
        int next = index + 1;
        while (next < sorted.Length && sorted[next].HasPrefixOf(sorted[index])) next++;
        return next;
    }

    private int Value(RouteTargetState target)
    {
        if (_numbering.Values.TryGetValue(target, out int value)) return value;
        value = Target(target).Value;
        _numbering.Values.Add(target, value);
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
                _numbering.Groups.Add(new PeerGroup([.. target.Peers.Select(peer => new GroupMember(Number(peer.Name), peer.Name, peer.Weight))]));
                return new RouteTarget(RouteAction.Group, _numbering.Groups.Count - 1);
            default:
                return new RouteTarget(target.Action);
        }
    }

    private int Number(string name)
    {
        if (_numbering.Numbers.TryGetValue(name, out int number)) return number;
        if (!peers.ContainsKey(name)) throw new KeyNotFoundException($"a route of segment '{segment.Name}' names the peer '{name}', which there is not");
        number = _numbering.Names.Count;
        _numbering.Names.Add(name);
        _numbering.Numbers.Add(name, number);
        return number;
    }

    private Peer At(string name)
    {
        Peer peer = peers[name];
        PeerState state = states[name];
        MacAddress mac = state.Macs.TryGetValue(segment.Name, out MacAddress own) ? own : state.Mac;
        return peer.At(segment.PeerPort ?? peer.Endpoint.Port, mac);
    }

    /// <summary>What the values of a table stand for.</summary>
    private sealed class Numbering
    {
        public RouteSet Routes { get; set; } = RouteSet.Empty;

        /// <summary>Of peers, by index.</summary>
        public List<string> Names { get; private init; } = [];

        /// <summary>Of <see cref="Names"/>.</summary>
        public Dictionary<string, int> Numbers { get; private init; } = [];

        public List<PeerGroup> Groups { get; private init; } = [];

        /// <summary>Of <see cref="Groups"/>: beyond it, most of them are left over.</summary>
        public int MostGroups { get; set; }

        public Dictionary<RouteTargetState, int> Values { get; private init; } = [];

        public Numbering Copy() => new() { Names = [.. Names], Numbers = new(Numbers), Groups = [.. Groups], MostGroups = MostGroups, Values = new(Values) };
    }
}
