using System.Globalization;
using Overlay.Control.Model;
using Overlay.Rpc;

namespace Overlay.Agent.Status;

/// <summary>Describes routes, and why each is in force or is not.</summary>
internal static class RouteReporter
{
    /// <param name="routes">All that there are.</param>
    /// <param name="most">Most to describe.</param>
    public static IEnumerable<RouteStatus> Describe(RouteSet routes, int most = int.MaxValue)
    {
        int first = 0;
        for (int i = 0; i < Math.Min(routes.Count, most); i++)
        {
            if (!routes.IsBeaten(i)) first = i;
            RouteState best = routes[first];
            yield return i == first
                ? Describe(best, WhyBest(best, i + 1 < routes.Count && routes.IsBeaten(i + 1) ? routes[i + 1] : null), isInForce: true)
                : Describe(routes[i], WhyBeaten(routes[i], best), isInForce: false);
        }
    }

    /// <param name="samePrefix">Routes to one prefix, the best first.</param>
    public static RouteStatus[] DescribeAll(ReadOnlySpan<RouteState> samePrefix)
    {
        var described = new RouteStatus[samePrefix.Length];
        for (int i = 0; i < described.Length; i++)
        {
            described[i] = i == 0
                ? Describe(samePrefix[0], WhyBest(samePrefix[0], samePrefix.Length > 1 ? samePrefix[1] : null), isInForce: true)
                : Describe(samePrefix[i], WhyBeaten(samePrefix[i], samePrefix[0]), isInForce: false);
        }
        return described;
    }

    public static string SourceName(RouteSource source) => source.ToString().ToLowerInvariant();

    private static RouteStatus Describe(in RouteState route, string reason, bool isInForce) => new(
        route.Prefix.ToString(),
        route.Segment,
        route.Target.Action.ToString().ToLowerInvariant(),
        [.. route.Target.Peers.Select(peer => new RoutePeerStatus(peer.Name, peer.Weight))],
        route.Target.Direct switch { DirectMode.CrossSubnet => "cross-subnet", DirectMode.HostGateway => "host-gw", _ => "never" },
        SourceName(route.Source),
        route.Line == 0 ? null : route.Line,
        route.Priority,
        route.Metric,
        isInForce,
        reason);

    private static string WhyBest(in RouteState best, RouteState? second) =>
        second is { } other ? $"best: {Compare(best, other)}" : "the only one to its prefix";

    private static string WhyBeaten(in RouteState route, in RouteState best) => $"beaten by {best.Target}: {Compare(best, route)}";

    /// <summary>What decides in favour of the first.</summary>
    private static string Compare(in RouteState best, in RouteState other)
    {
        if (best.Priority != other.Priority)
            return string.Create(CultureInfo.InvariantCulture, $"priority {best.Priority} ({SourceName(best.Source)}) before {other.Priority} ({SourceName(other.Source)})");
        if (best.Metric != other.Metric) return string.Create(CultureInfo.InvariantCulture, $"metric {best.Metric} before {other.Metric}");
        return best.Source != other.Source
            ? $"{SourceName(best.Source)} before {SourceName(other.Source)}"
            : "equal, and the first by name";
    }
}
