using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Configuration;
using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Agent.Planning;

/// <summary>What the kernel is told for the routes of a segment.</summary>
/// <param name="IntoDevice">Prefixes that lead into the device.</param>
/// <param name="Local">Prefixes of this node.</param>
/// <param name="Direct">Prefixes that lead to peers without the device.</param>
internal sealed record SegmentRoutes(IReadOnlyList<IPNetwork> IntoDevice, IReadOnlyList<IPNetwork> Local, IReadOnlyList<DirectRoute> Direct);

/// <summary>Settles the routes of a configuration against the host's interfaces.</summary>
/// <param name="host">Interfaces but those of our own devices.</param>
/// <param name="underlay">Whose interfaces' subnets peers can be on.</param>
internal sealed class RoutePlanner(
    OverlaydOptions options, IReadOnlyList<HostInterface> host, UnderlayPlan underlay, ConfigurationProblems problems)
{
    private readonly Dictionary<string, string> _interfaces = OnLink(options, host, underlay);

    /// <summary>True for a peer that is one hop away.</summary>
    public bool IsOnLink(string peer) => _interfaces.ContainsKey(peer);

    /// <summary>Refuses routes that would send a peer's own tunnel packets into the tunnel again, and direct ones that are none.</summary>
    public void Check()
    {
        foreach (PeerOptions peer in options.Peers)
        {
            UInt128 address = IpBits.V6OrMapped(peer.Address);
            int? wayThere = null;
            foreach (SegmentOptions segment in options.Segments)
            {
                foreach (RouteState route in options.AllRoutes.Covering(segment.Name, address))
                    RefuseLoop(route.Prefix, "route", route.Line, options.ProblemsOf(route, problems), peer, wayThere ??= WayTo(peer));
                foreach (Located<IPNetwork> cover in segment.Cover.Where(each => each.Value.Contains(peer.Address)))
                    RefuseLoop(cover, "cover", cover.Line, problems, peer, wayThere ??= WayTo(peer));
            }
        }
        foreach (RouteState route in options.AllRoutes.All)
        {
            if (route.Target.Direct == DirectMode.HostGateway) CheckHostGateway(route);
        }
    }

    public SegmentRoutes Plan(SegmentOptions segment)
    {
        ReadOnlySpan<RouteState> routes = options.AllRoutes.OfSegment(segment.Name);
        (UInt128 Address, int Length)[] covers =
            [.. segment.Cover.Select(cover => (IpBits.V6OrMapped(cover.Value.BaseAddress), cover.Value.PrefixLength + Unmapped(cover.Value)))];
        Dictionary<string, IPAddress> addresses = options.Peers.ToDictionary(peer => peer.Name.Value, peer => peer.Address.Value);
        List<IPNetwork> device = [.. segment.Cover.Select(cover => cover.Value)];
        var local = new List<IPNetwork>();
        var direct = new List<DirectRoute>();
        for (int i = 0; i < routes.Length; i++)
        {
            ref readonly RouteState route = ref routes[i];
            if (i > 0 && route.HasPrefixOf(routes[i - 1])) continue;
            if (InterfaceOf(route) is { } way) direct.Add(new DirectRoute(route.Prefix, addresses[route.Target.Peers[0].Name], way));
            else if (IsCovered(route, covers)) continue;
            else if (route.Target.Action == RouteAction.Local) local.Add(route.Prefix);
            else device.Add(route.Prefix);
        }
        return new SegmentRoutes(device, local, direct);
    }

    private static int Unmapped(IPNetwork network) => network.BaseAddress.AddressFamily == AddressFamily.InterNetwork ? 96 : 0;

    private static bool IsCovered(in RouteState route, (UInt128 Address, int Length)[] covers)
    {
        foreach ((UInt128 address, int length) in covers)
        {
            // A cover of one family, ::/0 for instance, is none of the other's.
            if (IpBits.IsMapped(address) != IpBits.IsMapped(route.Address)) continue;
            if (route.Length + (route.IsIPv6 ? 0 : 96) >= length && (length == 0 || (route.Address ^ address) >> (128 - length) == 0)) return true;
        }
        return false;
    }

    /// <summary>The interface that a direct route leaves by; null for one that goes through the tunnel.</summary>
    private string? InterfaceOf(in RouteState route)
    {
        if (route.Target.Direct == DirectMode.Never) return null;
        string peer = route.Target.Peers[0].Name;
        bool isOfFamily = options.Peers.First(each => each.Name.Value == peer).Address.Value.AddressFamily
            == (route.IsIPv6 ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork);
        return isOfFamily ? _interfaces.GetValueOrDefault(peer) : null;
    }

    /// <summary>Each peer whose address is on a subnet of an interface that has an address of the underlay and is up, and that interface.</summary>
    private static Dictionary<string, string> OnLink(OverlaydOptions options, IReadOnlyList<HostInterface> host, UnderlayPlan underlay)
    {
        var found = new Dictionary<string, string>();
        foreach (HostInterface each in host)
        {
            if (!each.IsUp || !each.Addresses.Any(own => underlay.Addresses.Contains(own.Address))) continue;
            foreach (PeerOptions peer in options.Peers)
            {
                if (each.Addresses.Any(own => own.Network.Contains(peer.Address))) found.TryAdd(peer.Name, each.Name);
            }
        }
        return found;
    }

    /// <summary>Length of the longest prefix by which the host reaches a peer's underlay address without us; -1: none.</summary>
    private int WayTo(PeerOptions peer) => host.SelectMany(each => each.Addresses.Select(own => own.Network).Concat(each.Routes))
        .Where(network => network.Contains(peer.Address)).Select(network => network.PrefixLength).DefaultIfEmpty(-1).Max();

    private static void RefuseLoop(IPNetwork prefix, string kind, int line, ConfigurationProblems into, PeerOptions peer, int wayThere)
    {
        bool isPeerItself = prefix.BaseAddress.Equals(peer.Address.Value);
        if (prefix.PrefixLength < wayThere && !isPeerItself) return;
        into.Add(
            line, $"{kind} {prefix} holds the underlay address {peer.Address} of peer '{peer.Name}'",
            "route only inner destinations: the tunnel's own packets would enter it again");
    }

    private void CheckHostGateway(in RouteState route)
    {
        string name = route.Target.Peers[0].Name;
        IPAddress address = options.Peers.First(each => each.Name.Value == name).Address;
        if ((address.AddressFamily == AddressFamily.InterNetworkV6) != route.IsIPv6)
            options.ProblemsOf(route, problems).Add(
                route.Line, $"route {route.Prefix} is to go directly to peer '{name}', whose address {address} is of the other family",
                "write 'direct: never': only a tunnel carries one family in the other");
        else if (!IsOnLink(name))
            options.ProblemsOf(route, problems).Add(
                route.Line, $"route {route.Prefix} is to go directly to peer '{name}', whose address {address} is on no subnet of the underlay's interface",
                "write 'direct: cross-subnet' to take the tunnel where that is so");
    }
}
