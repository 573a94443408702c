using System.Net;
using Overlay.Control.Model;
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
    IReadOnlyList<RouteOptions> Routes);

/// <param name="Interface">Interface that sockets are bound to; null where only addresses are given.</param>
/// <param name="Addresses">Local outer addresses, at most one a family; empty: the interface's.</param>
/// <param name="TrafficClass">Outer TOS or traffic class without its ECN bits, which follow the inner packet.</param>
internal sealed record UnderlayOptions(
    int Line,
    Located<string>? Interface,
    IReadOnlyList<Located<IPAddress>> Addresses,
    Located<int> Port,
    Located<int> Ttl,
    Located<int> TrafficClass,
    Located<int> Queues);

internal sealed record TunnelOptions(Located<EgressMode> Egress);

/// <summary>How super-packets leave.</summary>
internal enum EgressMode
{
    /// <summary>Tunnel GSO while a super-packet sent through the kernel arrives, else UDP GSO.</summary>
    Auto,

    /// <summary>Cut into datagrams here, sent with UDP_SEGMENT.</summary>
    UdpGso,

    /// <summary>Injected whole; the kernel segments inside the tunnel.</summary>
    TunnelGso,
}

/// <param name="Mac">Null: derived from the names of node and segment.</param>
/// <param name="Mtu">Bytes of an inner IP packet; null: the underlay's less the encapsulation.</param>
internal sealed record SegmentOptions(
    Located<string> Name,
    Located<int> Vni,
    Located<string> Device,
    Located<MacAddress>? Mac,
    Located<int>? Mtu,
    Located<bool> Persistent,
    IReadOnlyList<Located<InterfaceAddress>> Addresses)
{
    /// <summary>Least MTU an IPv4 network may have (RFC 791, 3.2).</summary>
    public const int LeastMtu = 68;

    /// <summary>Least MTU a network that carries IPv6 may have (RFC 8200, 5).</summary>
    public const int LeastIPv6Mtu = 1280;

    /// <summary>Most that the kernel grants a TAP device: 65,535 bytes less the Ethernet header.</summary>
    public const int MostMtu = 65_521;
}

internal sealed record PeerOptions(Located<string> Name, Located<IPAddress> Address, Located<int> Port, Located<MacAddress> Mac);

internal sealed record RouteOptions(Located<IPNetwork> Prefix, Located<string> Peer, Located<string> Segment);
