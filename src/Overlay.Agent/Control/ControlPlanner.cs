using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Tunnels;
using Overlay.Rpc.Control;
using Overlay.Wire;

namespace Overlay.Agent.Control;

/// <summary>
/// From what the controllers told to a plan, as the resolver makes it from a configuration file. What does not fit this node, or contradicts
/// itself, is left out and told; the rest goes on.
/// </summary>
/// <param name="basis">What the configuration file says of the node itself: its underlay, and no segment.</param>
/// <param name="view">What the controllers told.</param>
/// <param name="findWay">How the host reaches peers; null: by the underlay's interfaces.</param>
internal sealed class ControlPlanner(NodePlan basis, ControlView view, PeerWayFinder? findWay = null)
{
    private readonly Dictionary<string, PeerWay> _ways = [];
    private readonly OverlaydOptions _options = basis.Options;
    private readonly List<string> _problems = [];

    /// <param name="problems">What was left out, and why.</param>
    public NodePlan Plan(out IReadOnlyList<string> problems)
    {
        Dictionary<string, PeerState> peers = Peers();
        foreach (PeerState peer in peers.Values)
        {
            if (findWay?.Invoke(IpBits.ToAddress(peer.Endpoint.Address), basis.Underlay) is { } way) _ways.Add(peer.Name, way);
        }
        MacAddress mac = DeviceMac.OfNode(_options.Node);
        Network[] networks =
        [
            .. view.Networks.Where(network => _options.Control!.Networks?.Any(name => name.Value == network.Name) ?? true)
                .OrderBy(network => network.Vni).ThenBy(network => network.Name, StringComparer.Ordinal),
        ];
        List<RouteState> routes = Routes(networks, peers);
        ILookup<string, IPNetwork> prefixes = routes.ToLookup(route => route.Segment, route => route.Prefix);
        SegmentPlan[] segments = [.. networks.Select(network => Segment(network, mac, peers, prefixes)).OfType<SegmentPlan>()];
        HashSet<string> names = [.. segments.Select(segment => segment.Name)];
        var state = new NetworkState(
            view.Revision,
            [.. segments.Select(segment => new SegmentState(segment.Name, segment.Vni, segment.Mac, segment.Mtu, segment.Tunnel, PeerPort(segment.Tunnel.Encapsulation)))],
            [.. peers.Values],
            RouteSet.Of(routes.Where(route => names.Contains(route.Segment))))
        {
            OwnAddresses = [.. basis.Underlay.Addresses],
        };
        problems = _problems;
        return new NodePlan(_options, basis.Underlay, segments, state) { Ways = _ways };
    }

    /// <summary>Name of a network's device; VNIs are unique.</summary>
    private static string DeviceOf(Network network) => string.Create(CultureInfo.InvariantCulture, $"ovl{network.Vni}");

    private Dictionary<string, PeerState> Peers()
    {
        var peers = new Dictionary<string, PeerState>();
        var owners = new Dictionary<IPAddress, string>();
        var policy = new MtuPolicy { MssClamp = _options.Tunnel.MssClamp.Value, FragmentsInner = _options.Tunnel.FragmentsInner };
        // Of two nodes at one address, the one that registered last is there.
        foreach (Rpc.Control.Node node in view.Nodes.Where(node => node.Name != _options.Node.Value).OrderByDescending(node => node.Registered))
        {
            IPAddress[] addresses = [.. node.Underlay.Select(IPAddress.Parse)];
            IPAddress? address = Array.Find(addresses, each => each.AddressFamily == AddressFamily.InterNetwork && basis.Underlay.AddressV4 is not null)
                ?? Array.Find(addresses, each => each.AddressFamily == AddressFamily.InterNetworkV6 && basis.Underlay.AddressV6 is not null);
            if (address is null)
                _problems.Add($"node '{node.Name}' has no underlay address of a family that this node has ({string.Join(", ", addresses.Select(each => each.ToString()))}): it is not reached");
            else if (basis.Underlay.Addresses.Contains(address))
                _problems.Add($"node '{node.Name}' is said to be at {address}, which is this node's own address: it is not reached");
            else if (!owners.TryAdd(address, node.Name))
                _problems.Add($"node '{node.Name}' is said to be at {address}, where '{owners[address]}' registered later: it is not reached");
            else if (!MacAddress.TryParse(node.Mac, out MacAddress mac))
                _problems.Add($"node '{node.Name}' is said to have the MAC '{node.Mac}', which is none: it is not reached");
            else
                peers.Add(node.Name, new PeerState(
                    node.Name, new UnderlayEndpoint(IpBits.V6OrMapped(address), (ushort)_options.Underlay.Port.Value), mac)
                { MtuPolicy = policy, ChecksReversePath = _options.Tunnel.ChecksReversePath });
        }
        return peers;
    }

    private List<RouteState> Routes(Network[] networks, Dictionary<string, PeerState> peers)
    {
        HashSet<string> known = [.. networks.Select(network => network.Name)];
        UInt128[] underlay = [.. peers.Values.Select(peer => peer.Endpoint.Address).Concat(basis.Underlay.Addresses.Select(IpBits.V6OrMapped)).Order()];
        var routes = new List<RouteState>();
        foreach ((string network, string prefix, string node, RouteSource source) in view.Blocks.Select(block => (block.Network, block.Prefix, block.Holder, RouteSource.Block))
            .Concat(view.Routes.Select(route => (route.Network, route.Prefix, route.Node, RouteSource.Controller))))
        {
            if (!known.Contains(network) || !peers.ContainsKey(node)) continue;
            IPNetwork parsed = IPNetwork.Parse(prefix);
            if (Holds(parsed, underlay))
            {
                _problems.Add($"{prefix} of network '{network}' holds addresses of the underlay: it is not routed, for the tunnel's own packets would enter it");
                continue;
            }
            routes.Add(new RouteState(parsed, node, network) { Source = source });
        }
        return routes;
    }

    private static bool Holds(IPNetwork prefix, UInt128[] sorted)
    {
        int bits = prefix.BaseAddress.AddressFamily == AddressFamily.InterNetworkV6 ? 128 : 32;
        UInt128 first = IpBits.V6OrMapped(prefix.BaseAddress);
        UInt128 last = first | (bits == prefix.PrefixLength ? 0 : UInt128.MaxValue >> (128 - (bits - prefix.PrefixLength)));
        int at = Array.BinarySearch(sorted, first);
        if (at < 0) at = ~at;
        return at < sorted.Length && sorted[at] <= last;
    }

    private SegmentPlan? Segment(Network network, MacAddress mac, Dictionary<string, PeerState> peers, ILookup<string, IPNetwork> prefixes)
    {
        var tunnel = new TunnelFormat { Encapsulation = network.Encapsulation == "geneve" ? Encapsulation.Geneve : Encapsulation.Vxlan };
        (int room, string reckoning) = DeviceMtu.Room(
            tunnel, basis.Underlay, peers.Values.Select(peer => (peer.Name, !IpBits.IsMapped(peer.Endpoint.Address))), _ways);
        if (room < SegmentOptions.LeastMtu)
        {
            _problems.Add($"nothing fits network '{network.Name}': {reckoning}: it is left out");
            return null;
        }
        bool carriesIPv6 = network.Pools.Any(pool => pool.Prefix.Contains(':', StringComparison.Ordinal));
        int least = carriesIPv6 ? SegmentOptions.LeastIPv6Mtu : SegmentOptions.LeastMtu;
        int most = Math.Clamp(room, least, SegmentOptions.MostMtu);
        string device = DeviceOf(network);
        string? warning = room < least ? DeviceMtu.TooLittleForIPv6(device, most, reckoning) : null;
        if (network.Mtu > most) warning = DeviceMtu.Lessened($"mtu {network.Mtu} of network '{network.Name}' does not fit: {reckoning}", device, most);
        // A block's first address is its node's own.
        InterfaceAddress[] addresses =
        [
            .. view.Blocks.Where(block => block.Network == network.Name && block.Holder == _options.Node.Value)
                .OrderBy(block => block.Since).ThenBy(block => block.Prefix, StringComparer.Ordinal)
                .Select(block => IPNetwork.Parse(block.Prefix).BaseAddress)
                .Select(own => new InterfaceAddress(own, own.AddressFamily == AddressFamily.InterNetworkV6 ? 128 : 32)),
        ];
        return new SegmentPlan(
            network.Name, network.Vni, device, mac, tunnel, network.Mtu == 0 ? most : Math.Min((int)network.Mtu, most), Persistent: false, addresses,
            [.. prefixes[network.Name].Distinct()])
        {
            MtuWarning = warning,
        };
    }

    private ushort? PeerPort(Encapsulation encapsulation) =>
        encapsulation == _options.Tunnel.Encapsulation.Value ? null : (ushort)_options.PortOf(encapsulation);
}
