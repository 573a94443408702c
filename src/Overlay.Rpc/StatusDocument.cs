namespace Overlay.Rpc;

/// <summary>What <c>GET /v1/status</c> of overlayd answers. Counters are totals since the daemon started.</summary>
/// <param name="Node">Name of the node.</param>
/// <param name="Version">Version of the daemon.</param>
/// <param name="UptimeSeconds">Since the daemon was ready.</param>
/// <param name="Revision">Of the configuration in force; 1 at start, one more with each reload.</param>
/// <param name="Ready">True while packets are forwarded.</param>
/// <param name="Underlay">The network that carries the tunnels.</param>
/// <param name="Segments">Virtual networks.</param>
/// <param name="Queues">One a queue and segment, and one a queue for datagrams that belong to no segment.</param>
/// <param name="Peers">Other nodes.</param>
/// <param name="Routes">Inner prefixes and what is done with them; the first <see cref="MostRoutes"/>.</param>
/// <param name="RouteCount">All routes, of which <c>GET /v1/routes</c> tells.</param>
/// <param name="DropReasons">What each name in <see cref="QueueStatus.Drops"/> means.</param>
public sealed record StatusDocument(
    string Node,
    string Version,
    double UptimeSeconds,
    long Revision,
    bool Ready,
    UnderlayStatus Underlay,
    IReadOnlyList<SegmentStatus> Segments,
    IReadOnlyList<QueueStatus> Queues,
    IReadOnlyList<PeerStatus> Peers,
    IReadOnlyList<RouteStatus> Routes,
    int RouteCount,
    IReadOnlyDictionary<string, string> DropReasons)
{
    /// <summary>Most routes in a status.</summary>
    public const int MostRoutes = 1000;

    /// <summary>How the node stands with its controllers; null where its configuration file lists the peers.</summary>
    public ControlStatus? Control { get; init; }
}

/// <param name="Controller">The one in use; null: none answers, and what was known last stays in force.</param>
/// <param name="Revision">Of the state that is known.</param>
/// <param name="Generation">Of the node's registration; 0: it never registered.</param>
/// <param name="Problems">What keeps the node from its controllers, or from more blocks.</param>
/// <param name="Blocks">Blocks of addresses that the node holds.</param>
public sealed record ControlStatus(
    string? Controller, long Revision, long Generation, IReadOnlyList<string> Problems, IReadOnlyList<BlockStatus> Blocks);

/// <param name="InUse">Addresses that are handed out.</param>
/// <param name="Size">Addresses there are.</param>
public sealed record BlockStatus(string Network, string Prefix, int InUse, int Size);

/// <param name="Interface">Interface the sockets are bound to; null where they are bound to addresses only.</param>
/// <param name="Addresses">Local outer addresses.</param>
/// <param name="Mtu">Most bytes of an outer IP packet: the least MTU of the interfaces that have those addresses.</param>
/// <param name="Port">UDP port of the encapsulation that segments send in by default.</param>
/// <param name="Ports">UDP ports that are listened on.</param>
/// <param name="Mode">How super-packets leave: <c>udp-gso</c> or <c>tunnel-gso</c>.</param>
/// <param name="ModeReason">Why that mode is in force.</param>
/// <param name="Refusals">What the kernel refused at start, and what it means.</param>
public sealed record UnderlayStatus(
    string? Interface,
    IReadOnlyList<string> Addresses,
    int Mtu,
    int Port,
    IReadOnlyList<TunnelPortStatus> Ports,
    string Mode,
    string ModeReason,
    IReadOnlyList<string> Refusals);

/// <param name="Encapsulation">What is received there: <c>vxlan</c>, <c>geneve</c> or <c>ipip</c>.</param>
/// <param name="Port">UDP port; null for <c>ipip</c>, which has none.</param>
public sealed record TunnelPortStatus(string Encapsulation, int? Port);

/// <param name="Bridge">Bridge of the host that the device is a port of; null: none.</param>
/// <param name="Flood">Names of the peers that broadcast, multicast and unknown addresses are sent to.</param>
/// <param name="FixedMacs">MAC addresses given by the configuration.</param>
/// <param name="LearnedMacs">MAC addresses learned and not too old.</param>
/// <param name="LearnLimit">Most MAC addresses learned; null: none are.</param>
/// <param name="AgeingSeconds">How long a MAC address is known after its last frame.</param>
/// <param name="Neighbours">Addresses of the configuration that ARP requests and neighbour solicitations are answered for.</param>
/// <param name="LearnedNeighbours">Learned ones, not too old; null: none are learned.</param>
public sealed record BridgingStatus(
    string? Bridge, IReadOnlyList<string> Flood, int FixedMacs, int LearnedMacs, int? LearnLimit, int AgeingSeconds, int Neighbours, int? LearnedNeighbours);

/// <param name="Name">Name of the segment.</param>
/// <param name="Kind"><c>routed</c> or <c>bridged</c>.</param>
/// <param name="Device">Name of its network interface.</param>
/// <param name="Vni">24-bit virtual network identifier; null where <c>ipip</c> has none.</param>
/// <param name="Encapsulation">What it sends: <c>vxlan</c>, <c>geneve</c> or <c>ipip</c>, with what differs from the plain form.</param>
/// <param name="Mode">How its super-packets leave over IPv4: <c>udp-gso</c>, <c>tunnel-gso</c> or, of <c>ipip</c>, <c>raw</c>.</param>
/// <param name="Mtu">Bytes of an inner IP packet.</param>
/// <param name="Mac">MAC of the interface.</param>
/// <param name="Addresses">Addresses of the interface, with prefix length.</param>
/// <param name="Offloads">Offloads that the kernel granted the interface.</param>
/// <param name="Refusals">Offloads it refused, and what that means.</param>
/// <param name="Bridging">Null in a routed segment.</param>
public sealed record SegmentStatus(
    string Name,
    string Kind,
    string Device,
    long? Vni,
    string Encapsulation,
    string Mode,
    int Mtu,
    string Mac,
    IReadOnlyList<string> Addresses,
    IReadOnlyList<string> Offloads,
    IReadOnlyList<string> Refusals,
    BridgingStatus? Bridging)
{
    /// <summary>Why <see cref="Mtu"/> is not what was configured, or more than the underlay carries in one piece; null: neither.</summary>
    public string? MtuWarning { get; init; }
}

/// <summary>
/// One queue of one segment. <c>EgressIn.Packets + Replicated = EgressOut.Packets + Answered</c> + the egress drops, and
/// <c>IngressIn.Packets = IngressOut.Packets</c> + the ingress drops; while traffic flows the figures may be a batch apart.
/// </summary>
/// <param name="Queue">From 0.</param>
/// <param name="Segment">Name of the segment; null for datagrams that belong to none.</param>
/// <param name="EgressIn">Read from the device.</param>
/// <param name="EgressOut">Handed to the underlay.</param>
/// <param name="Answered">ARP requests and neighbour solicitations answered by the daemon.</param>
/// <param name="Replicated">Further copies of packets that went to several peers.</param>
/// <param name="MacMoves">Source MACs that were known elsewhere before.</param>
/// <param name="MacsNotLearned">Packets whose source MAC was not learned for want of room; they were forwarded.</param>
/// <param name="NeighboursNotLearned">Neighbours that were not learned for want of room.</param>
/// <param name="IcmpErrors">ICMP errors written to the device, about packets dropped or cut smaller than asked.</param>
/// <param name="IngressIn">Received from the underlay.</param>
/// <param name="IngressOut">Written to the device.</param>
/// <param name="Drops">Packets dropped, by every reason there is, also where none was.</param>
public sealed record QueueStatus(
    int Queue,
    string? Segment,
    TrafficStatus EgressIn,
    TrafficStatus EgressOut,
    long Answered,
    long Replicated,
    long MacMoves,
    long MacsNotLearned,
    long NeighboursNotLearned,
    long IcmpErrors,
    TrafficStatus IngressIn,
    TrafficStatus IngressOut,
    IReadOnlyDictionary<string, long> Drops);

/// <param name="Packets">Packets as on the wire: a super-packet counts once a segment.</param>
/// <param name="Bytes">Bytes of the inner frames.</param>
/// <param name="SuperPackets">Super-packets exchanged with the kernel that carried some of them.</param>
public sealed record TrafficStatus(long Packets, long Bytes, long SuperPackets);

/// <param name="Name">Name of the peer.</param>
/// <param name="Endpoint">Its underlay address and UDP port.</param>
/// <param name="Macs">MAC of its device in each segment that has routes to it and inner Ethernet headers.</param>
/// <param name="Egress">Towards it.</param>
/// <param name="Ingress">From it.</param>
/// <param name="Path">How large a packet the way to it carries.</param>
public sealed record PeerStatus(
    string Name, string Endpoint, IReadOnlyDictionary<string, string> Macs, TrafficStatus Egress, TrafficStatus Ingress, PathStatus Path)
{
    /// <summary>Packets that were for it or came from it and went no further, by reason; without those that are 0.</summary>
    public IReadOnlyDictionary<string, long> Drops { get; init; } = new Dictionary<string, long>();
}

/// <param name="Mtu">In force: most bytes of an outer IP packet.</param>
/// <param name="LinkMtu">What this host's interfaces and routes to the peer allow.</param>
/// <param name="State"><c>base</c>, <c>searching</c>, <c>complete</c>, <c>error</c> or <c>unanswered</c> (RFC 8899, 5.2, where the last is called disabled).</param>
/// <param name="Evidence">What <paramref name="Mtu"/> rests on: <c>interface</c>, <c>probes</c>, <c>icmp</c>, <c>tcp-mss</c> or <c>tcp-repeats</c>.</param>
/// <param name="BlackHole">True where packets that leave this host are lost for their size, and no ICMP error says so.</param>
/// <param name="RoundTripMilliseconds">Of probes, smoothed; null: none was answered.</param>
/// <param name="ProbesSent">Since the daemon started.</param>
/// <param name="ProbesAnswered">Of them.</param>
public sealed record PathStatus(
    int Mtu, int LinkMtu, string State, string Evidence, bool BlackHole, double? RoundTripMilliseconds, long ProbesSent, long ProbesAnswered)
{
    /// <summary>True while the host's route to the peer leads into one of the daemon's devices, so that nothing is sent to it.</summary>
    public bool LeadsBack { get; init; }
}
