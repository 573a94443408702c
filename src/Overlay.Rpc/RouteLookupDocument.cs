namespace Overlay.Rpc;

/// <summary>What <c>GET /v1/routes/lookup</c> of overlayd answers: where a packet to an address goes.</summary>
/// <param name="Address">Inner destination.</param>
/// <param name="Revision">Of the configuration in force.</param>
/// <param name="Matches">One a segment that has a route; empty where packets are dropped as <c>egress-no-route</c>.</param>
public sealed record RouteLookupDocument(string Address, long Revision, IReadOnlyList<RouteMatch> Matches);

/// <param name="Segment">Name of the segment.</param>
/// <param name="Prefix">Longest prefix of the segment's routes that covers the address.</param>
/// <param name="Peer">Name of the peer it lives behind.</param>
/// <param name="Endpoint">Underlay address and UDP port that the segment's datagrams to the peer go to.</param>
public sealed record RouteMatch(string Segment, string Prefix, string Peer, string Endpoint);
