namespace Overlay.Rpc;

/// <summary>What <c>GET /v1/routes</c> of overlayd answers.</summary>
/// <param name="Node">Name of the node.</param>
/// <param name="Revision">Of the configuration in force.</param>
/// <param name="Routes">All of them, by segment and prefix, the one in force first; described as they are written, for they may be a million.</param>
public sealed record RouteListDocument(string Node, long Revision, IEnumerable<RouteStatus> Routes);

/// <param name="Prefix">Inner destinations.</param>
/// <param name="Segment">Name of the segment.</param>
/// <param name="Action"><c>peer</c>, <c>group</c>, <c>local</c>, <c>blackhole</c>, <c>unreachable</c> or <c>prohibit</c>.</param>
/// <param name="Peers">Those they live behind; none where the action is for no peer.</param>
/// <param name="Direct">Whether packets go without a tunnel: <c>never</c>, <c>cross-subnet</c> or <c>host-gw</c>.</param>
/// <param name="Source">Who says so: <c>configured</c>, <c>file</c>, <c>block</c> or <c>controller</c>.</param>
/// <param name="Line">Line of the file that says so; null where there is none.</param>
/// <param name="Priority">The lower wins.</param>
/// <param name="Metric">Among routes of one priority the lower wins.</param>
/// <param name="InForce">False where another route to the prefix is better.</param>
/// <param name="Reason">Why it is in force, or is not.</param>
public sealed record RouteStatus(
    string Prefix,
    string Segment,
    string Action,
    IReadOnlyList<RoutePeerStatus> Peers,
    string Direct,
    string Source,
    int? Line,
    int Priority,
    long Metric,
    bool InForce,
    string Reason)
{
    /// <summary>The peers with their weights, or the action, in a few words.</summary>
    public string To => Peers.Count == 0 ? Action : string.Join(", ", Peers.Select(peer => peer.Weight == 1 ? peer.Name : $"{peer.Name} x{peer.Weight}"));
}

/// <param name="Name">Name of the peer.</param>
/// <param name="Weight">Its share of the flows is its part of the sum.</param>
public sealed record RoutePeerStatus(string Name, int Weight);
