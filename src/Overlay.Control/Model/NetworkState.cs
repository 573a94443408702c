using System.Net;
using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Control.Model;

/// <summary>
/// What the network should be, as one node sees it. Names are unique within their list and every reference names an entry.
/// </summary>
/// <param name="Revision">Grows with every change.</param>
public sealed record NetworkState(
    long Revision, IReadOnlyList<SegmentState> Segments, IReadOnlyList<PeerState> Peers, IReadOnlyList<RouteState> Routes)
{
    /// <summary>Name of the segment that gets what arrives in IP-in-IP, which names none; null: nothing is taken.</summary>
    public string? IpInIpSegment { get; init; }

    /// <summary>Outer addresses of this node, and those of its devices.</summary>
    public IReadOnlyList<IPAddress> OwnAddresses { get; init; } = [];
}

/// <summary>A virtual network.</summary>
/// <param name="Vni">24-bit virtual network identifier.</param>
/// <param name="DeviceMac">MAC of this node's device in it.</param>
/// <param name="Mtu">MTU of that device: most bytes of an inner IP packet.</param>
/// <param name="Tunnel">How its packets are wrapped.</param>
/// <param name="PeerPort">UDP port of every peer for it; null: that of each <see cref="PeerState.Endpoint"/>.</param>
public sealed record SegmentState(string Name, uint Vni, MacAddress DeviceMac, int Mtu, TunnelFormat Tunnel, ushort? PeerPort = null)
{
    /// <summary>Null: the segment is routed.</summary>
    public BridgingState? Bridging { get; init; }
}

/// <summary>How a bridged segment finds the way of a frame.</summary>
/// <param name="Learns">Whether source addresses are learned.</param>
/// <param name="LearnLimit">Most addresses learned.</param>
/// <param name="AgeingSeconds">How long an address is known after its last frame.</param>
/// <param name="FloodsUnknown">Whether frames to unknown addresses go to all of the flood list.</param>
/// <param name="FloodsUnknownNeighbours">Whether questions for addresses of no known neighbour do.</param>
/// <param name="Flood">Names of peers; null: all.</param>
/// <param name="Fixed">Addresses that are not learned. Peer null: on this node's own side.</param>
/// <param name="Neighbours">Whom the node answers for.</param>
public sealed record BridgingState(
    bool Learns,
    int LearnLimit,
    int AgeingSeconds,
    bool FloodsUnknown,
    bool FloodsUnknownNeighbours,
    IReadOnlyList<string>? Flood,
    IReadOnlyList<(MacAddress Mac, string? Peer)> Fixed,
    IReadOnlyList<(IPAddress Address, BridgeNeighbour Neighbour)> Neighbours)
{
    /// <summary>Whether neighbours are learned from their ARP and neighbour discovery, as many and for as long as addresses.</summary>
    public bool LearnsNeighbours { get; init; }

    /// <summary>Whether frames to groups that bridges keep to themselves are sent, and taken.</summary>
    public bool ForwardsReserved { get; init; }
}

/// <summary>Another node's tunnel endpoint.</summary>
/// <param name="Mac">MAC of its devices in segments that <see cref="Macs"/> does not name.</param>
public sealed record PeerState(string Name, UnderlayEndpoint Endpoint, MacAddress Mac)
{
    /// <summary>MAC of its device by name of the segment.</summary>
    public IReadOnlyDictionary<string, MacAddress> Macs { get; init; } = new Dictionary<string, MacAddress>();

    /// <summary>What is done about packets that the way to it does not carry.</summary>
    public MtuPolicy MtuPolicy { get; init; } = MtuPolicy.Default;

    /// <summary>Packets from it are taken only if the route of their inner source leads to it (RFC 3704, 2.2).</summary>
    public bool ChecksReversePath { get; init; }

    /// <summary>Its address is on a subnet of the underlay's interface, so that packets can reach it without a tunnel.</summary>
    public bool IsOnLink { get; init; }
}
