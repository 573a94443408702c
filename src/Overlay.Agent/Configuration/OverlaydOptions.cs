using System.Net;
using Overlay.Control.Model;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Agent.Configuration;

/// <summary>A configuration file, read and checked in itself; nothing of the host has been looked at.</summary>
internal sealed record OverlaydOptions(
    Located<string> Node,
    Located<string> ApiSocket,
    UnderlayOptions Underlay,
    TunnelOptions Tunnel,
    IReadOnlyList<SegmentOptions> Segments,
    IReadOnlyList<PeerOptions> Peers,
    IReadOnlyList<RouteOptions> Routes)
{
    /// <summary>Where segments, peers and routes are told by controllers; null: the file lists them.</summary>
    public ControlOptions? Control { get; init; }

    /// <summary>Null: this node wires no pods.</summary>
    public PodsOptions? Pods { get; init; }

    public required MetricsOptions Metrics { get; init; }

    public required CaptureOptions Capture { get; init; }

    /// <summary>Those of <see cref="RoutesFile"/>.</summary>
    public RouteSet FileRoutes { get; init; } = RouteSet.Empty;

    public Located<string>? RoutesFile { get; init; }

    /// <summary>Of the configuration and of <see cref="FileRoutes"/>; the same one each time.</summary>
    public RouteSet AllRoutes => _allRoutes ??= RouteSet.Of(Routes.Select(route => route.ToState())).Union(FileRoutes);

    private RouteSet? _allRoutes;

    /// <summary>Where to say what is wrong with a route.</summary>
    public ConfigurationProblems ProblemsOf(in RouteState route, ConfigurationProblems problems) =>
        route.Source == RouteSource.File && RoutesFile is { } file ? problems.In(file) : problems;

    /// <summary>True where IP-in-IP is sent or accepted.</summary>
    public bool UsesIpInIp => SendsIpInIp || Tunnel.Accept.Any(accepted => accepted.Value == Encapsulation.IpInIp);

    /// <summary>The segment that gets what arrives in IP-in-IP: the one that sends it, the one named, or the only one; null: nothing is taken.</summary>
    public SegmentOptions? IpInIpSegment => !UsesIpInIp ? null
        : Segments.FirstOrDefault(segment => segment.Tunnel.Encapsulation.Value == Encapsulation.IpInIp)
            ?? Segments.FirstOrDefault(segment => segment.Name.Value == Tunnel.IpInIpSegment?.Value)
            ?? (Segments is [var only, ..] ? only : null);

    private bool SendsIpInIp => Segments.Any(segment => segment.Tunnel.Encapsulation.Value == Encapsulation.IpInIp);

    /// <summary>The ports that are listened on: for what is accepted, and for what segments send in.</summary>
    public IReadOnlyList<(Encapsulation Encapsulation, int Port)> Ports =>
    [
        .. Segments.Select(segment => segment.Tunnel.Encapsulation.Value)
            .Concat(Tunnel.Accept.Select(accepted => accepted.Value))
            .Where(each => each != Encapsulation.IpInIp).Distinct().Order().Select(encapsulation => (encapsulation, PortOf(encapsulation))),
    ];

    /// <summary>UDP port of an encapsulation, here and at peers that name none.</summary>
    public int PortOf(Encapsulation encapsulation)
    {
        if (encapsulation == Tunnel.Encapsulation.Value) return Underlay.Port;
        if (encapsulation == Encapsulation.IpInIp) return 0;
        return (encapsulation == Encapsulation.Vxlan ? Tunnel.VxlanPort : Tunnel.GenevePort)?.Value ?? TunnelReader.DefaultPort(encapsulation);
    }
}

/// <param name="Interface">Interface that sockets are bound to; null where only addresses are given.</param>
/// <param name="Addresses">Local outer addresses, at most one a family; empty: the interface's.</param>
/// <param name="Port">UDP port of the tunnel's encapsulation; 0 for IP-in-IP.</param>
/// <param name="Ttl">Outer TTL or hop limit; null: that of the inner packet.</param>
/// <param name="TrafficClass">Outer TOS or traffic class without its ECN bits, which follow the inner packet; null: all of it does.</param>
internal sealed record UnderlayOptions(
    int Line,
    Located<string>? Interface,
    IReadOnlyList<Located<IPAddress>> Addresses,
    Located<int> Port,
    Located<int?> Ttl,
    Located<int?> TrafficClass,
    Located<int> Queues,
    PathMtuOptions PathMtu);

/// <summary>How the MTU of the path to each peer is found.</summary>
/// <param name="Probe">Whether probes are sent.</param>
/// <param name="ConfirmSeconds">How often what passes is confirmed while packets are sent.</param>
/// <param name="RaiseSeconds">How long a smaller MTU is believed before a larger one is tried (RFC 1191, 6.3).</param>
internal sealed record PathMtuOptions(Located<bool> Probe, Located<int> ConfirmSeconds, Located<int> RaiseSeconds);

/// <param name="Encapsulation">What segments send in unless they say otherwise.</param>
/// <param name="Accept">What is received, beside the encapsulations that segments send in.</param>
/// <param name="VxlanPort">UDP port of VXLAN where it is not <paramref name="Encapsulation"/>.</param>
/// <param name="GenevePort">UDP port of Geneve where it is not <paramref name="Encapsulation"/>.</param>
/// <param name="Checksum">Whether datagrams over IPv4 leave with a UDP checksum.</param>
/// <param name="ZeroChecksumIPv6">In which directions datagrams over IPv6 may have none.</param>
/// <param name="MssClamp">Most that the MSS option of a TCP SYN may say; 0: it is left alone; null: what the way to the peer carries.</param>
/// <param name="FragmentsInner">IPv4 packets without DF that are too big are fragmented before encapsulation; otherwise they are dropped.</param>
/// <param name="ChecksReversePath">Packets are taken only from the peer that the route of their inner source leads to.</param>
/// <param name="EncapsulationLimit">Of IP-in-IP over IPv6 (RFC 2473, 4.1.1); its value null: none is written; null: not given.</param>
/// <param name="IpInIpSegment">Name of the segment that gets what arrives in IP-in-IP while none sends in it; null: not given.</param>
internal sealed record TunnelOptions(
    Located<Encapsulation> Encapsulation,
    IReadOnlyList<Located<Encapsulation>> Accept,
    Located<int>? VxlanPort,
    Located<int>? GenevePort,
    Located<EgressMode> Egress,
    Located<bool> Checksum,
    IReadOnlyList<Located<ChecksumDirection>> ZeroChecksumIPv6,
    Located<int?> MssClamp,
    Located<bool> FragmentsInner,
    Located<bool> ChecksReversePath,
    Located<int?>? EncapsulationLimit,
    Located<string>? IpInIpSegment)
{
    /// <summary>RFC 2473, 6.6: the recommended default.</summary>
    public const int DefaultEncapsulationLimit = 4;

    /// <summary>How many further tunnels may enclose an IP-in-IP packet over IPv6; null: nothing is said.</summary>
    public int? NestedTunnels => EncapsulationLimit is { } given ? given.Value : DefaultEncapsulationLimit;
}

internal enum ChecksumDirection
{
    Send,
    Receive,
}

/// <summary>How super-packets leave.</summary>
internal enum EgressMode
{
    /// <summary>Tunnel GSO while a super-packet sent through the kernel arrives, else UDP GSO.</summary>
    Auto,

    /// <summary>Cut into datagrams here, sent with UDP_SEGMENT.</summary>
    UdpGso,

    /// <summary>Injected whole; the kernel segments inside the tunnel.</summary>
    TunnelGso,

    /// <summary>IP-in-IP: cut here, one packet a message of a raw socket. Not to be configured.</summary>
    Raw,
}

/// <param name="Vni">-1: none, in IP-in-IP.</param>
/// <param name="Mac">Null: derived from the names of node and segment.</param>
/// <param name="Mtu">Bytes of an inner IP packet; null: the underlay's less the encapsulation.</param>
internal sealed record SegmentOptions(
    Located<string> Name,
    Located<int> Vni,
    Located<string> Device,
    Located<MacAddress>? Mac,
    Located<int>? Mtu,
    Located<bool> Persistent,
    SegmentTunnelOptions Tunnel,
    IReadOnlyList<Located<InterfaceAddress>> Addresses)
{
    /// <summary>Null: the segment is routed.</summary>
    public BridgingOptions? Bridging { get; init; }

    /// <summary>Only a routed segment with inner Ethernet headers addresses them to the peer's device.</summary>
    public bool NeedsPeerMacs => Bridging is null && Tunnel.Encapsulation.Value != Encapsulation.IpInIp && !Tunnel.BareIp;

    /// <summary>Prefixes of which the kernel is told in place of every route within.</summary>
    public IReadOnlyList<Located<IPNetwork>> Cover { get; init; } = [];

    /// <summary>Of its routes that say nothing else.</summary>
    public Located<DirectMode> Direct { get; init; }

    /// <summary>Stands for no VNI.</summary>
    public const int NoVni = -1;

    /// <summary>Least MTU an IPv4 network may have (RFC 791, 3.2).</summary>
    public const int LeastMtu = 68;

    /// <summary>Least MTU a network that carries IPv6 may have (RFC 8200, 5).</summary>
    public const int LeastIPv6Mtu = 1280;

    /// <summary>Most that the kernel grants a TAP device: 65,535 bytes less the Ethernet header.</summary>
    public const int MostMtu = 65_521;
}

/// <param name="BareIp">Geneve: IP packets travel without an inner Ethernet header.</param>
/// <param name="KeepsVlanTags">Inner VLAN tags are sent and accepted.</param>
/// <param name="GroupPolicy">VXLAN: group policy ID to send; -1: that of each packet, which is its mark on this host; null: none.</param>
/// <param name="GeneveOptions">In the order in which they are sent.</param>
internal sealed record SegmentTunnelOptions(
    Located<Encapsulation> Encapsulation,
    Located<bool> BareIp,
    Located<bool> KeepsVlanTags,
    Located<int>? GroupPolicy,
    IReadOnlyList<GeneveOptionOptions> GeneveOptions)
{
    public bool MarksGroupPolicy => GroupPolicy is { Value: < 0 };

    /// <summary>The value of the key <c>groupPolicy</c>, as it is written.</summary>
    public string GroupPolicyText => MarksGroupPolicy ? "mark" : $"{GroupPolicy}";
}

/// <summary>A Geneve option to send (RFC 8926, 3.5).</summary>
internal sealed record GeneveOptionOptions(Located<int> Class, Located<int> Type, Located<byte[]> Data);

/// <summary>What makes a segment a bridged one.</summary>
/// <param name="Line">Where the segment says so.</param>
/// <param name="Bridge">Bridge of the host that the device is a port of; null: none.</param>
/// <param name="Flood">Names of peers; null: all.</param>
/// <param name="LearnsNeighbours">Whether neighbours are learned from their ARP and neighbour discovery.</param>
/// <param name="ForwardsReserved">Whether frames to groups that bridges keep to themselves are sent, and taken.</param>
internal sealed record BridgingOptions(
    int Line,
    Located<string>? Bridge,
    Located<bool> Learning,
    Located<int> AgeingSeconds,
    Located<int> LearnLimit,
    IReadOnlyList<Located<string>>? Flood,
    Located<bool> FloodsUnknown,
    Located<bool> FloodsUnknownNeighbours,
    Located<bool> LearnsNeighbours,
    Located<bool> ForwardsReserved,
    IReadOnlyList<FixedMacOptions> Fdb,
    IReadOnlyList<NeighbourOptions> Neighbours);

/// <param name="Peer">Null: on this node's own side.</param>
internal sealed record FixedMacOptions(Located<MacAddress> Mac, Located<string>? Peer);

internal sealed record NeighbourOptions(Located<IPAddress> Address, Located<MacAddress> Mac, Located<bool> Router);

/// <param name="Mac">Of its devices in segments that <paramref name="Macs"/> does not name; null: derived from its name and the segment's.</param>
/// <param name="Macs">By name of the segment.</param>
internal sealed record PeerOptions(
    Located<string> Name, Located<IPAddress> Address, Located<int> Port, Located<MacAddress>? Mac, IReadOnlyDictionary<string, Located<MacAddress>> Macs)
{
    /// <summary>What <see cref="TunnelOptions.MssClamp"/> says, for this peer; null: the same as for all.</summary>
    public Located<int?>? MssClamp { get; init; }

    /// <summary>What <see cref="TunnelOptions.FragmentsInner"/> says, for this peer; null: the same as for all.</summary>
    public Located<bool>? FragmentsInner { get; init; }

    /// <summary>What <see cref="TunnelOptions.ChecksReversePath"/> says, for this peer; null: the same as for all.</summary>
    public Located<bool>? ChecksReversePath { get; init; }

    /// <summary>MAC of its device in a segment, and the line that says so.</summary>
    public Located<MacAddress> MacIn(string segment) =>
        Macs.TryGetValue(segment, out Located<MacAddress> own) ? own : Mac ?? new(DeviceMac.Derive(Name, segment), Name.Line);
}

/// <param name="Peers">Every peer that <paramref name="Target"/> names.</param>
/// <param name="Priority">Null: that of configured routes.</param>
internal sealed record RouteOptions(
    Located<IPNetwork> Prefix, RouteTargetState Target, IReadOnlyList<Located<string>> Peers, Located<string> Segment, Located<int>? Priority,
    Located<int> Metric)
{
    public RouteState ToState() => new(Prefix.Value, Target, Segment.Value)
    {
        Source = RouteSource.Configured,
        Priority = (byte)(Priority?.Value ?? RouteState.DefaultPriority(RouteSource.Configured)),
        Metric = (uint)Metric.Value,
        Line = Prefix.Line,
    };
}
