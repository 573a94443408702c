using System.Net;
using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Agent.Configuration;

/// <summary>Refuses routes that refer to nothing, or contradict each other or the node's own addresses.</summary>
internal sealed class RouteChecks(OverlaydOptions options, ConfigurationProblems problems)
{
    /// <param name="everythingWasRead">False where a refused peer or segment may be what a route names.</param>
    public void Run(bool everythingWasRead)
    {
        var peers = options.Peers.Select(peer => peer.Name.Value).ToHashSet();
        var segments = options.Segments.Select(segment => segment.Name.Value).ToHashSet();
        var ownNetworks = options.Segments.SelectMany(segment => segment.Addresses).ToLookup(address => address.Value.Network);
        foreach (RouteOptions route in options.Routes)
        {
            foreach (Located<string> peer in route.Peers)
            {
                if (everythingWasRead && !peers.Contains(peer)) RefuseUnknown(peer, "peer", peers, route);
            }
            if (everythingWasRead && !segments.Contains(route.Segment)) RefuseUnknown(route.Segment, "segment", segments, route);
            foreach (Located<InterfaceAddress> own in route.Target.Action == RouteAction.Local ? [] : ownNetworks[route.Prefix])
                problems.Add(
                    route.Prefix.Line, $"route {route.Prefix} is the network of this node's own address {own} (line {own.Line})",
                    "route only what lives behind the peer");
        }
        RefuseEqual();
    }

    /// <summary>What can only be seen of the routes of the configuration and those of its file together.</summary>
    public void RunAcrossFiles()
    {
        foreach (SegmentOptions segment in options.Segments)
        {
            foreach (Located<InterfaceAddress> own in segment.Addresses)
            {
                IPNetwork network = own.Value.Network;
                foreach (RouteState route in options.FileRoutes.Find(segment.Name, IpBits.V6OrMapped(network.BaseAddress), network.PrefixLength))
                {
                    if (route.Target.Action == RouteAction.Local) continue;
                    options.ProblemsOf(route, problems).Add(
                        route.Line, $"route {route.Prefix} is the network of this node's own address {own}", "route only what lives behind the peer");
                }
            }
        }
        if (options.Segments.Count < 2) return;
        foreach (RouteState route in options.AllRoutes)
        {
            foreach (SegmentOptions other in options.Segments)
            {
                if (string.CompareOrdinal(other.Name, route.Segment) >= 0) continue;
                ReadOnlySpan<RouteState> same = options.AllRoutes.Find(other.Name, route.Address, route.Length);
                if (same.IsEmpty) continue;
                options.ProblemsOf(route, problems).Add(
                    route.Line, $"route {route.Prefix} of segment '{route.Segment}' is one of segment '{other.Name}' too", "keep one of them: the kernel has one table for all");
            }
        }
    }

    /// <summary>Routes to one prefix must differ in what decides between them, and be of one segment: the kernel has one table for all.</summary>
    private void RefuseEqual()
    {
        foreach (IGrouping<IPNetwork, RouteOptions> same in options.Routes.GroupBy(route => route.Prefix.Value))
        {
            RouteOptions first = same.First();
            var seen = new Dictionary<(int Priority, int Metric), RouteOptions>();
            foreach (RouteOptions route in same)
            {
                RouteOptions? other = route.Segment.Value != first.Segment.Value ? first
                    : seen.TryAdd((route.ToState().Priority, route.Metric), route) ? null
                    : seen[(route.ToState().Priority, route.Metric)];
                if (other is null) continue;
                string remedy = route.Segment.Value == other.Segment.Value ? "keep one of them, or give them different priorities or metrics" : "keep one of them";
                problems.Add(route.Prefix.Line, $"route {route.Prefix} was listed in line {other.Prefix.Line} already, to {Describe(other)}", remedy);
            }
        }
    }

    private static string Describe(RouteOptions route) => route.Peers.Count switch
    {
        0 => route.Target.Text,
        1 => $"peer '{route.Peers[0]}'",
        _ => $"peers {route.Target.Text}",
    };

    private void RefuseUnknown(Located<string> name, string kind, HashSet<string> known, RouteOptions route)
    {
        string remedy = known.Count == 0 ? $"list it under '{kind}s:'" : $"did you mean '{NearestWord.Of(name, known)}'?";
        problems.Add(name.Line, $"route {route.Prefix} names the {kind} '{name}', which is not listed", remedy);
    }
}
