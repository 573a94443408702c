namespace Overlay.Rpc;

/// <summary>What <c>GET /v1/fdb</c> of overlayd answers: where the MAC addresses of bridged segments are.</summary>
/// <param name="Node">Name of the node.</param>
/// <param name="Entries">By segment and address.</param>
public sealed record FdbDocument(string Node, IReadOnlyList<FdbEntry> Entries);

/// <param name="Segment">Name of the segment.</param>
/// <param name="Mac">The address.</param>
/// <param name="Peer">Name of the peer it is behind; null: on this node's own side.</param>
/// <param name="Kind"><c>fixed</c> by the configuration, or <c>learned</c>.</param>
/// <param name="AgeSeconds">Since its last frame; null of a fixed one.</param>
public sealed record FdbEntry(string Segment, string Mac, string? Peer, string Kind, double? AgeSeconds);
