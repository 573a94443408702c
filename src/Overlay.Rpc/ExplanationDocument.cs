namespace Overlay.Rpc;

/// <summary>
/// What <c>POST /v1/explain</c> of overlayd is asked: a packet that a segment's device might hand over. Either <see cref="Frame"/>, or
/// <see cref="To"/> and what else is known; what is left out gets the default that is named.
/// </summary>
public sealed record ExplainQuestion
{
    /// <summary>Name of the segment; null: the one whose routes cover the destination.</summary>
    public string? Segment { get; init; }

    /// <summary>The frame in hexadecimal, from its Ethernet header on; its checksums are finished, or left to us by the device.</summary>
    public string? Frame { get; init; }

    /// <summary>Inner destination.</summary>
    public string? To { get; init; }

    /// <summary>Inner source; null: the device's address.</summary>
    public string? From { get; init; }

    /// <summary>The host's end of the pod's link that it comes by; null: that of the pod whose address the source is, if any.</summary>
    public string? Interface { get; init; }

    /// <summary>IP protocol number; null: an ICMP echo request.</summary>
    public byte? Protocol { get; init; }

    /// <summary>Of TCP and UDP; null: 40000.</summary>
    public ushort? SourcePort { get; init; }

    /// <summary>Of TCP and UDP; null: 80.</summary>
    public ushort? DestinationPort { get; init; }

    /// <summary>Bytes of the IP packet; null: headers, and 56 bytes unless it is a SYN.</summary>
    public int? Length { get; init; }

    /// <summary>Of IPv4; IPv6 has it always.</summary>
    public bool DontFragment { get; init; }

    /// <summary>DSCP (6 bits) and ECN (2 bits).</summary>
    public byte TrafficClass { get; init; }

    /// <summary>TTL or hop limit; null: 64.</summary>
    public byte? TimeToLive { get; init; }

    /// <summary>
    /// Payload bytes of each segment, of a TCP or UDP super-packet; null: it is one packet, or a <see cref="Frame"/> beyond the device's MTU whose checksum is
    /// unfinished, with segments of that MTU.
    /// </summary>
    public int? SegmentSize { get; init; }

    /// <summary>MSS that a TCP SYN offers; null: it is no SYN.</summary>
    public int? Mss { get; init; }

    /// <summary>Destination MAC; null: that which the segment's device sends to.</summary>
    public string? ToMac { get; init; }

    /// <summary>Source MAC; null: the device's own.</summary>
    public string? FromMac { get; init; }
}

/// <summary>What <c>POST /v1/explain/arrival</c> is asked: packets that might arrive from the underlay.</summary>
/// <param name="Packets">From the outer IP header on, in hexadecimal.</param>
public sealed record ArrivalQuestion(IReadOnlyList<string> Packets);

/// <summary>What becomes of a packet, told by the code that packets go through.</summary>
/// <param name="Node">Whose daemon tells.</param>
/// <param name="Revision">Of the configuration in force.</param>
/// <param name="Segment">Name of the segment.</param>
/// <param name="Packet">The packet in words.</param>
/// <param name="Outcome"><c>sent</c>, <c>answered</c> or <c>dropped</c>, by this node.</param>
/// <param name="DropReason">As in the status, or <see cref="PodFilter"/>; null: nothing was dropped.</param>
/// <param name="Stages">In the order that the packet goes through them, up to the one that drops or answers it.</param>
/// <param name="Route">Null in a bridged segment, and where none covers the destination.</param>
/// <param name="Outer">The packets on the underlay.</param>
/// <param name="Answers">What the sender is told.</param>
/// <param name="Arrivals">What the peers do with them.</param>
public sealed record ExplanationDocument(
    string Node, long Revision, string Segment, string Packet, string Outcome, string? DropReason, IReadOnlyList<ExplanationStage> Stages,
    RouteMatch? Route, IReadOnlyList<OuterPacketDocument> Outer, IReadOnlyList<FrameDocument> Answers, IReadOnlyList<ArrivalDocument> Arrivals)
{
    /// <summary>The reason of what the host's packet filter drops, before it reaches the device: the source is not that pod's.</summary>
    public const string PodFilter = "pod-filter";

    /// <summary>True where each peer hands all of it to its device, or this node answered it.</summary>
    public bool Delivered => Outcome == "answered" || (Outcome == "sent" && DropReason is null && Arrivals.Count > 0 && Arrivals.All(arrival => arrival.Outcome != "dropped"));
}

/// <param name="Name">Of the stage.</param>
/// <param name="Outcome"><c>ok</c>, <c>changed</c>, <c>answered</c>, <c>dropped</c> or <c>none</c>, where there was nothing to do.</param>
/// <param name="Text">What was found or done.</param>
/// <param name="Details">More of it.</param>
public sealed record ExplanationStage(string Name, string Outcome, string Text, IReadOnlyList<string> Details);

/// <param name="Peer">Name of the peer that it is sent to.</param>
/// <param name="Way">How it is handed to the kernel: <c>udp</c>, <c>udp-gso</c>, <c>tunnel-gso</c> or <c>raw</c>.</param>
/// <param name="Encapsulation"><c>vxlan</c>, <c>geneve</c> or <c>ipip</c>.</param>
/// <param name="Bytes">From the outer IP header on, in hexadecimal, as on the wire; those of <c>tunnel-gso</c> the kernel has cut by then.</param>
public sealed record OuterPacketDocument(string Peer, string Way, string Encapsulation, string Bytes);

/// <param name="Text">The frame in words.</param>
/// <param name="Bytes">From the Ethernet header on, in hexadecimal.</param>
public sealed record FrameDocument(string Text, string Bytes);

/// <summary>What a node does with packets from the underlay.</summary>
/// <param name="Node">Its name.</param>
/// <param name="Basis"><c>asked</c>: its own daemon tells. <c>assumed</c>: another node does, as far as it knows that node's configuration.</param>
/// <param name="Outcome"><c>delivered</c> to the device, <c>taken</c> by the daemon, or <c>dropped</c>.</param>
/// <param name="DropReason">As in the status; null: nothing was dropped.</param>
/// <param name="Stages">In the order that packets go through them.</param>
/// <param name="Frames">What the device gets.</param>
public sealed record ArrivalDocument(
    string Node, string Basis, string Outcome, string? DropReason, IReadOnlyList<ExplanationStage> Stages, IReadOnlyList<FrameDocument> Frames);
