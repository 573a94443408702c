namespace Overlay.Rpc;

/// <summary>What <c>GET /v1/fdb</c> of overlayd answers: where the MAC addresses of bridged segments are, and who has which IP address.</summary>
/// <param name="Node">Name of the node.</param>
/// <param name="Segments">Names of the bridged segments.</param>
/// <param name="Entries">By segment and address.</param>
/// <param name="Neighbours">By segment and address.</param>
public sealed record FdbDocument(
    string Node, IReadOnlyList<string> Segments, IReadOnlyList<FdbEntry> Entries, IReadOnlyList<NeighbourEntry> Neighbours);

/// <param name="Segment">Name of the segment.</param>
/// <param name="Mac">The address.</param>
/// <param name="Peer">Name of the peer it is behind; null: on this node's own side.</param>
/// <param name="Kind"><c>fixed</c> by the configuration, or <c>learned</c>.</param>
/// <param name="AgeSeconds">Since its last frame; null of a fixed one.</param>
public sealed record FdbEntry(string Segment, string Mac, string? Peer, string Kind, double? AgeSeconds);

/// <param name="Segment">Name of the segment.</param>
/// <param name="Address">IP address.</param>
/// <param name="Mac">MAC address that has it.</param>
/// <param name="Router">Answered for as a router (RFC 4861, 4.4); of IPv4 without a meaning.</param>
/// <param name="Kind"><c>fixed</c> by the configuration, or <c>learned</c>.</param>
/// <param name="AgeSeconds">Since it was heard of last; null of a fixed one.</param>
/// <param name="Answered">Whether ARP requests and neighbour solicitations of this node's side are answered for it now.</param>
public sealed record NeighbourEntry(string Segment, string Address, string Mac, bool Router, string Kind, double? AgeSeconds, bool Answered);
