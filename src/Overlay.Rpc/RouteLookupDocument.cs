namespace Overlay.Rpc;

/// <summary>What <c>GET /v1/routes/lookup</c> of overlayd answers: where a packet to an address goes.</summary>
/// <param name="Address">Inner destination.</param>
/// <param name="From">Inner source; null where none was asked for.</param>
/// <param name="Revision">Of the configuration in force.</param>
/// <param name="Matches">One a segment that has a route; empty where packets are dropped as <c>egress-no-route</c>.</param>
public sealed record RouteLookupDocument(string Address, string? From, long Revision, IReadOnlyList<RouteMatch> Matches);

/// <param name="Route">Of the longest prefix of the segment's routes that covers the address, the one in force.</param>
/// <param name="Peer">The peer that packets of the flow go to; null where they are dropped, or it depends on a source that was not given.</param>
/// <param name="Endpoint">Underlay address and UDP port that the peer's datagrams go to.</param>
/// <param name="Way"><c>tunnel</c>, <c>direct</c> or <c>drop</c>.</param>
/// <param name="WayOut">The same in words: encapsulation and device, next hop, or what the sender is told.</param>
/// <param name="Mtu">Most bytes of an inner IP packet that goes through in one piece; null where none does.</param>
/// <param name="Others">Routes to the same prefix that are not in force.</param>
public sealed record RouteMatch(
    RouteStatus Route, string? Peer, string? Endpoint, string Way, string WayOut, int? Mtu, IReadOnlyList<RouteStatus> Others);
