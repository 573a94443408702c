using System.Net;
using Overlay.Agent.Configuration;
using Overlay.Control.Model;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Agent.Planning;

/// <summary>A configuration with everything settled that depends on the host: what is to be set up and forwarded.</summary>
/// <param name="State">For the compiler; its segments are in the order of <paramref name="Segments"/>.</param>
internal sealed record NodePlan(OverlaydOptions Options, UnderlayPlan Underlay, IReadOnlyList<SegmentPlan> Segments, NetworkState State)
{
    /// <summary>True for a route whose packets the kernel sends to its peer itself.</summary>
    public bool IsDirect(in RouteState route)
    {
        if (route.Target.Direct == DirectMode.Never) return false;
        string name = route.Target.Peers[0].Name;
        PeerState peer = State.Peers.First(each => each.Name == name);
        return peer.IsOnLink && peer.Endpoint.IsIPv4 != route.IsIPv6;
    }

    /// <summary>By name of the peer. Those that no route leads to now are not among them.</summary>
    public IReadOnlyDictionary<string, PeerWay> Ways { get; init; } = new Dictionary<string, PeerWay>();

    /// <summary>What does not fit the host as it is, and what was done about it; one line each.</summary>
    public IEnumerable<string> Warnings => MtuWarnings.Concat(LoopWarnings);

    public IEnumerable<string> MtuWarnings => Segments.Select(segment => segment.MtuWarning).OfType<string>();

    public IEnumerable<string> LoopWarnings => Ways.Where(way => way.Value.LeadsBack).Select(way =>
        $"the host's route to peer '{way.Key}' leads into {way.Value.Interface}, back to where packets for it come from: none is sent to it until that route is gone");

    /// <summary>True where packets to a peer would come back by one of our devices.</summary>
    public bool LeadsBack(string peer) => Ways.TryGetValue(peer, out PeerWay? way) && way.LeadsBack;

    /// <summary>Most bytes of an outer IP packet to a peer, as far as this host's interfaces and routes tell.</summary>
    public int MtuTo(string peer) => Ways.TryGetValue(peer, out PeerWay? way) ? way.Mtu : Underlay.Mtu;
}

/// <param name="Gateway">Address of the peer.</param>
/// <param name="Interface">Of the underlay, on whose subnet the peer is.</param>
internal sealed record DirectRoute(IPNetwork Prefix, IPAddress Gateway, string Interface);

/// <param name="Interface">Interface to bind to, or null.</param>
/// <param name="AddressV4">Local outer IPv4 address, or null.</param>
/// <param name="AddressV6">Local outer IPv6 address, or null.</param>
/// <param name="Mtu">Least MTU of the interfaces that hold the addresses.</param>
/// <param name="TimeToLive">Outer TTL or hop limit, where it is not copied from an inner IP packet.</param>
internal sealed record UnderlayPlan(string? Interface, IPAddress? AddressV4, IPAddress? AddressV6, int Mtu, byte TimeToLive)
{
    /// <summary>TTL of what is not IP, where the others' is copied.</summary>
    public const byte DefaultTimeToLive = 64;

    /// <summary>Names of the interfaces that hold the addresses.</summary>
    public IReadOnlyList<string> Holders { get; init; } = [];

    public IEnumerable<IPAddress> Addresses => new[] { AddressV4, AddressV6 }.OfType<IPAddress>();
}

/// <param name="Tunnel">How its packets are wrapped.</param>
/// <param name="Mtu">Bytes of an inner IP packet, in force for the device and for the pods behind it.</param>
/// <param name="Prefixes">What is routed into the device.</param>
internal sealed record SegmentPlan(
    string Name,
    uint Vni,
    string Device,
    MacAddress Mac,
    TunnelFormat Tunnel,
    int Mtu,
    bool Persistent,
    IReadOnlyList<InterfaceAddress> Addresses,
    IReadOnlyList<IPNetwork> Prefixes)
{
    /// <summary>What the kernel sends to a peer itself, without the device.</summary>
    public IReadOnlyList<DirectRoute> Direct { get; init; } = [];

    /// <summary>What is on this node: routed into the device only where the host has nothing better.</summary>
    public IReadOnlyList<IPNetwork> Local { get; init; } = [];

    /// <summary>Why <see cref="Mtu"/> is not what the configuration says, or more than the underlay carries in one piece; null: neither.</summary>
    public string? MtuWarning { get; init; }

    /// <summary>How a bridged segment forwards; null: the segment is routed.</summary>
    public BridgingState? Bridging { get; init; }

    /// <summary>Bridge of the host that the device is a port of; null: none.</summary>
    public string? Bridge { get; init; }
}
