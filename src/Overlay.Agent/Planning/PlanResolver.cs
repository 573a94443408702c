using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Configuration;
using Overlay.Control.Model;
using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Agent.Planning;

/// <summary>Settles a configuration against the host's interfaces. What does not fit them is refused like any other value.</summary>
internal sealed partial class PlanResolver(
    OverlaydOptions options, IReadOnlyList<HostInterface> host, ConfigurationProblems problems, PeerWayFinder? findWay, NodePlan? before)
{
    private readonly Dictionary<string, PeerWay> _ways = [];

    /// <param name="options">The configuration.</param>
    /// <param name="host">Its interfaces.</param>
    /// <param name="revision">Of the plan.</param>
    /// <param name="problems">Where reasons for a refusal go.</param>
    /// <param name="findWay">How the host reaches peers; null: by the underlay's interfaces.</param>
    /// <param name="before">
    /// The plan in force, or null at start. What was in force and no longer fits, because the host changed, is not refused but lessened, with
    /// a warning: a daemon that runs must be able to take a new configuration.
    /// </param>
    /// <returns>Null, with every reason among the problems, where anything does not fit.</returns>
    public static NodePlan? Resolve(
        OverlaydOptions options, IReadOnlyList<HostInterface> host, long revision, ConfigurationProblems problems, PeerWayFinder? findWay = null,
        NodePlan? before = null) =>
        new PlanResolver(options, WithoutOwn(options, host), problems, findWay, before).Resolve(revision, isFollowing: false);

    /// <summary>
    /// As Resolve for options that are in force, when the host's interfaces have changed: what of the routes no longer fits goes another way, or
    /// becomes unreachable.
    /// </summary>
    public static NodePlan? Follow(
        OverlaydOptions options, IReadOnlyList<HostInterface> host, long revision, ConfigurationProblems problems, PeerWayFinder? findWay = null,
        NodePlan? before = null) =>
        new PlanResolver(options, WithoutOwn(options, host), problems, findWay, before).Resolve(revision, isFollowing: true);

    private NodePlan? Resolve(long revision, bool isFollowing)
    {
        if (ResolveUnderlay() is not { } underlay) return null;
        CheckPeers(underlay);
        var routes = new RoutePlanner(options, host, underlay, problems);
        if (!isFollowing) routes.Check();
        FindWays(underlay);
        SegmentPlan[] segments = [.. options.Segments.Select(segment => ResolveSegment(segment, underlay, routes))];
        if (problems.Any) return null;
        WarnOfSharedMacs();
        var state = new NetworkState(
            revision,
            [.. segments.Select(segment => new SegmentState(segment.Name, segment.Vni, segment.Mac, segment.Mtu, segment.Tunnel, PeerPort(segment)) { Bridging = segment.Bridging })],
            [.. options.Peers.Select(peer => new PeerState(
                peer.Name, new UnderlayEndpoint(IpBits.V6OrMapped(peer.Address), (ushort)peer.Port.Value), peer.Mac?.Value ?? default)
            {
                MtuPolicy = new MtuPolicy
                {
                    MssClamp = (peer.MssClamp ?? options.Tunnel.MssClamp).Value,
                    FragmentsInner = peer.FragmentsInner ?? options.Tunnel.FragmentsInner,
                },
                ChecksReversePath = peer.ChecksReversePath ?? options.Tunnel.ChecksReversePath,
                Macs = options.Segments.Where(segment => segment.NeedsPeerMacs)
                    .ToDictionary(segment => segment.Name.Value, segment => peer.MacIn(segment.Name).Value),
                IsOnLink = routes.IsOnLink(peer.Name),
            })],
            options.AllRoutes)
        {
            IpInIpSegment = options.IpInIpSegment?.Name.Value,
            OwnAddresses = [.. underlay.Addresses, .. segments.SelectMany(segment => segment.Addresses).Select(own => own.Address)],
        };
        return new NodePlan(options, underlay, segments, state) { Ways = _ways };
    }

    /// <summary>Allowed, for a node may be so; one with overlayd is not.</summary>
    private void WarnOfSharedMacs()
    {
        foreach (PeerOptions peer in options.Peers)
        {
            if (peer.Mac is not { } mac) continue;
            string[] shared =
            [
                .. options.Segments.Where(segment => segment.NeedsPeerMacs && !peer.Macs.ContainsKey(segment.Name)).Select(segment => segment.Name.Value)
                    .Where(name => options.Routes.Any(route => route.Segment.Value == name && route.Peers.Any(to => to.Value == peer.Name.Value))),
            ];
            if (shared.Length > 1)
            {
                problems.Warn(
                    mac.Line, $"mac {mac} of peer '{peer.Name}' is that of its devices in the segments {string.Join(", ", shared)}, and overlayd gives each device its own",
                    "write 'macs:' with one a segment, or leave out what the peer derives from names");
            }
        }
    }

    private UnderlayPlan? ResolveUnderlay()
    {
        IReadOnlyList<HostInterface> candidates = host;
        if (options.Underlay.Interface is { } name)
        {
            candidates = [.. host.Where(candidate => candidate.Name == name.Value)];
            if (candidates.Count == 0)
            {
                string nearest = NearestWord.Of(name, host.Select(candidate => candidate.Name).DefaultIfEmpty("eth0"));
                problems.Add(name.Line, $"the interface '{name}' does not exist", $"did you mean '{nearest}'?");
                return null;
            }
        }
        var found = new List<(IPAddress Address, HostInterface Holder)>();
        if (options.Underlay.Addresses.Count > 0) FindGiven(candidates, found);
        else FindFirst(candidates[0], found);
        if (problems.Any) return null;
        return new UnderlayPlan(
            options.Underlay.Interface?.Value, Of(AddressFamily.InterNetwork), Of(AddressFamily.InterNetworkV6), found.Min(each => each.Holder.Mtu),
            (byte)(options.Underlay.Ttl.Value ?? UnderlayPlan.DefaultTimeToLive))
        {
            Holders = [.. found.Select(each => each.Holder.Name).Distinct()],
        };

        IPAddress? Of(AddressFamily family) => found.Find(each => each.Address.AddressFamily == family).Address;
    }

    private void FindGiven(IReadOnlyList<HostInterface> candidates, List<(IPAddress Address, HostInterface Holder)> found)
    {
        foreach (Located<IPAddress> address in options.Underlay.Addresses)
        {
            HostInterface? holder = candidates.FirstOrDefault(each => each.Addresses.Any(own => own.Address.Equals(address.Value)));
            if (holder is not null)
            {
                found.Add((address, holder));
                continue;
            }
            string where = options.Underlay.Interface is { } name ? $"the interface '{name}'" : "any interface of this host";
            IEnumerable<string> present = candidates.SelectMany(each => each.Addresses).Where(IsGlobal).Select(own => own.Address.ToString());
            problems.Add(
                address.Line, $"underlay address {address} is not on {where}",
                $"assign it, or write one of: {string.Join(", ", present.DefaultIfEmpty("(no address is assigned)"))}");
        }
    }

    private void FindFirst(HostInterface underlay, List<(IPAddress Address, HostInterface Holder)> found)
    {
        foreach (InterfaceAddress own in underlay.Addresses.Where(IsGlobal))
        {
            if (found.TrueForAll(each => each.Address.AddressFamily != own.Address.AddressFamily)) found.Add((own.Address, underlay));
        }
        if (found.Count == 0)
            problems.Add(
                options.Underlay.Interface?.Line ?? options.Underlay.Line, $"the interface '{underlay.Name}' has no global address",
                "assign one, or choose another interface");
    }

    private void CheckPeers(UnderlayPlan underlay)
    {
        foreach (PeerOptions peer in options.Peers)
        {
            IPAddress address = peer.Address;
            HostInterface? own = host.FirstOrDefault(each => each.Addresses.Any(mine => mine.Address.Equals(address)));
            if (own is not null)
                problems.Add(
                    peer.Address.Line, $"address {address} of peer '{peer.Name}' is this node's own, on '{own.Name}'",
                    "leave this node out of its peers");
            else if (underlay.Addresses.All(mine => mine.AddressFamily != address.AddressFamily))
                problems.Add(
                    peer.Address.Line, $"address {address} of peer '{peer.Name}' is of a family in which the underlay has no address",
                    "assign an address of that family to the underlay's interface, and list it where 'underlay: addresses' is given");
        }
    }

    private SegmentPlan ResolveSegment(SegmentOptions segment, UnderlayPlan underlay, RoutePlanner planner)
    {
        IReadOnlyList<InterfaceAddress> addresses = [.. segment.Addresses.Select(address => address.Value)];
        SegmentRoutes routes = planner.Plan(segment);
        ReadOnlySpan<RouteState> all = options.AllRoutes.OfSegment(segment.Name);
        TunnelFormat tunnel = Format(segment.Tunnel, options.Tunnel);
        bool carriesIPv6 = addresses.Any(address => address.IsIPv6)
            || (all.Length > 0 && (all[0].IsIPv6 || all[^1].IsIPv6));
        (int mtu, string? mtuWarning) = ResolveMtu(segment, tunnel, underlay, carriesIPv6);
        if (segment.Bridging?.Bridge is { } port && BridgePorts.TooLarge(
                segment.Name, mtu, port, host.Where(each => each.Master == port.Value).Select(each => (each.Name, each.Mtu))) is { } tooLarge)
            problems.Warn(port.Line, tooLarge.Wrong, tooLarge.Remedy);
        return new SegmentPlan(
            segment.Name, (uint)segment.Vni.Value, segment.Device, segment.Mac?.Value ?? DeviceMac.Derive(options.Node, segment.Name),
            tunnel, mtu, segment.Persistent, addresses, routes.IntoDevice)
        {
            Local = routes.Local,
            Direct = routes.Direct,
            MtuWarning = mtuWarning,
            Bridging = segment.Bridging is { } bridging ? Bridging(bridging) : null,
            Bridge = segment.Bridging?.Bridge is { } bridge ? ResolveBridge(segment.Name, bridge) : null,
        };
    }

    private string ResolveBridge(string segment, Located<string> bridge)
    {
        HostInterface? found = host.FirstOrDefault(each => each.Name == bridge.Value);
        string what = $"bridge '{bridge}' of segment '{segment}'";
        if (found is null) problems.Add(bridge.Line, $"{what} does not exist", $"make it (ip link add {bridge} type bridge), or leave it out");
        else if (found.Kind != "bridge") problems.Add(bridge.Line, $"{what} is no bridge", "name a bridge of this host");
        return bridge;
    }

    private static BridgingState Bridging(BridgingOptions bridging) => new(
        bridging.Learning, bridging.LearnLimit, bridging.AgeingSeconds, bridging.FloodsUnknown, bridging.FloodsUnknownNeighbours,
        bridging.Flood is { } flood ? [.. flood.Select(peer => peer.Value)] : null,
        [.. bridging.Fdb.Select(entry => (entry.Mac.Value, entry.Peer?.Value))],
        [.. bridging.Neighbours.Select(each => (each.Address.Value, new BridgeNeighbour(each.Mac, each.Router)))])
    {
        LearnsNeighbours = bridging.LearnsNeighbours,
        ForwardsReserved = bridging.ForwardsReserved,
    };

    private static TunnelFormat Format(SegmentTunnelOptions tunnel, TunnelOptions common)
    {
        byte[] written = new byte[GeneveHeader.MaxOptionsLength];
        int length = 0;
        foreach (GeneveOptionOptions option in tunnel.GeneveOptions)
            length += GeneveOption.Write(written.AsSpan(length), (ushort)option.Class.Value, (byte)option.Type.Value, option.Data.Value);
        return new TunnelFormat
        {
            Encapsulation = tunnel.Encapsulation,
            IsBareIp = tunnel.BareIp,
            KeepsVlanTags = tunnel.KeepsVlanTags,
            GroupPolicy = tunnel.MarksGroupPolicy ? null : (ushort?)tunnel.GroupPolicy?.Value,
            MarksGroupPolicy = tunnel.MarksGroupPolicy,
            GeneveOptions = written[..length],
            EncapsulationLimit = tunnel.Encapsulation.Value == Encapsulation.IpInIp ? (byte?)common.NestedTunnels : null,
        };
    }

    private ushort? PeerPort(SegmentPlan segment)
    {
        Encapsulation encapsulation = segment.Tunnel.Encapsulation;
        return encapsulation == options.Tunnel.Encapsulation.Value ? null : (ushort)options.PortOf(encapsulation);
    }

    /// <summary>The devices of our own segments, there from before, are no part of the underlay.</summary>
    private static IReadOnlyList<HostInterface> WithoutOwn(OverlaydOptions options, IReadOnlyList<HostInterface> host) =>
        [.. host.Where(each => options.Segments.All(segment => segment.Device.Value != each.Name))];

    private static bool IsGlobal(InterfaceAddress own)
    {
        if (IPAddress.IsLoopback(own.Address) || own.Address.IsIPv6LinkLocal) return false;
        return own.IsIPv6 || IpBits.V4(own.Address) >> 16 != 0xa9fe;
    }
}
