using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Planning;
using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Linux;
using Overlay.Linux.Netlink;
using Overlay.Wire;

namespace Overlay.Agent.Setup;

/// <summary>
/// The kernel's routes for what the daemon serves: into the devices, and directly to peers. They carry a protocol number of their own, so that
/// those of others are told from them and never touched, and what a crash left behind is found.
/// </summary>
internal sealed class KernelRoutes(Rtnetlink netlink)
{
    /// <summary>Tells our routes from those of others (rtnetlink(7), rtm_protocol).</summary>
    public const byte Protocol = 79;

    /// <summary>What the kernel takes where an IPv6 route names no metric; ours name it, so that they compare equal to what it reports.</summary>
    private const uint IPv6Metric = 1024;

    /// <summary>Of local prefixes: a network of this host that has the same prefix goes before.</summary>
    private const uint LocalMetric = 1 << 16;

    /// <summary>Makes the kernel's routes those of a plan, in few system calls, touching only what differs.</summary>
    /// <returns>How many routes were added, changed or deleted.</returns>
    /// <exception cref="StartRefusedException">Something of another owner is in the way.</exception>
    public int Apply(NodePlan plan, UndoStack undo)
    {
        Dictionary<string, Link> links = netlink.ListLinks().ToDictionary(link => link.Name);
        Dictionary<(IPNetwork, uint), Route> before = [];
        foreach (Route route in Ours(plan, links)) before.TryAdd((route.Destination, route.Metric), route);
        var changes = new List<RouteChange>();
        var inverse = new List<RouteChange>();
        var told = new HashSet<(IPNetwork, uint)>();
        HashSet<(IPNetwork, uint)>? others = null;
        foreach (Route route in Wanted(plan, links))
        {
            // Two networks of a controller may have one prefix; the kernel has one table.
            if (!told.Add((route.Destination, route.Metric))) continue;
            if (!before.Remove((route.Destination, route.Metric), out Route? old))
            {
                changes.Add(new RouteChange(RouteVerb.Add, route));
                inverse.Add(new RouteChange(RouteVerb.Delete, route));
            }
            else if (old != route)
            {
                // The kernel would put it in the place of the first one of the same destination and metric, whoever's that is.
                others ??= [.. netlink.ListRoutes().Where(each => each.Protocol != Protocol).Select(each => (each.Destination, each.Metric))];
                if (others.Contains((route.Destination, route.Metric))) throw InTheWay(route, null);
                changes.Add(new RouteChange(RouteVerb.Replace, route));
                inverse.Add(new RouteChange(RouteVerb.Replace, old));
            }
        }
        foreach (Route gone in before.Values)
        {
            changes.Add(new RouteChange(RouteVerb.Delete, gone));
            inverse.Add(new RouteChange(RouteVerb.Add, gone));
        }
        Execute(changes, inverse, undo);
        return changes.Count;
    }

    /// <summary>Deletes the routes that would stay when the devices go: those directly to peers, of segments whose device does not stay.</summary>
    public void Release(NodePlan plan)
    {
        HashSet<IPNetwork> staying = [.. plan.Segments.Where(segment => segment.Persistent).SelectMany(segment => segment.Direct).Select(direct => direct.Prefix)];
        Dictionary<string, Link> links = netlink.ListLinks().ToDictionary(link => link.Name);
        HashSet<int> devices = [.. Devices(plan, links)];
        netlink.ChangeRoutes([.. Ours(plan, links)
            .Where(route => !devices.Contains(route.InterfaceIndex) && !staying.Contains(route.Destination))
            .Select(route => new RouteChange(RouteVerb.Delete, route))]);
    }

    private void Execute(List<RouteChange> changes, List<RouteChange> inverse, UndoStack undo)
    {
        IReadOnlyList<RouteFailure> failures = netlink.ChangeRoutes(changes);
        HashSet<int> failed = [.. failures.Select(failure => failure.Index)];
        undo.Push(() => netlink.ChangeRoutes([.. inverse.Where((_, index) => !failed.Contains(index)).Reverse()]));
        // What was to be deleted and is gone is as it should be.
        foreach ((int index, LinuxException failure) in failures.Where(each => changes[each.Index].Verb != RouteVerb.Delete))
        {
            throw failure.AlreadyExists ? InTheWay(changes[index].Route, failure) : (Exception)failure;
        }
    }

    private static StartRefusedException InTheWay(Route route, LinuxException? failure) =>
        new($"the kernel has a route to {route.Destination} that is not overlayd's", "remove it, or take the prefix out of 'routes:'", failure);

    /// <summary>Of the devices, and all others of our protocol that lead out of no device of another daemon's.</summary>
    private IEnumerable<Route> Ours(NodePlan plan, Dictionary<string, Link> links)
    {
        HashSet<int> devices = [.. Devices(plan, links)];
        HashSet<int> foreign = [.. links.Values.Where(link => link.Kind == "tun" && !devices.Contains(link.Index)).Select(link => link.Index)];
        return netlink.ListRoutes().Where(route => route.Protocol == Protocol && !foreign.Contains(route.InterfaceIndex));
    }

    private static IEnumerable<int> Devices(NodePlan plan, Dictionary<string, Link> links) =>
        plan.Segments.Select(segment => links.GetValueOrDefault(segment.Device)).OfType<Link>().Select(link => link.Index);

    private static IEnumerable<Route> Wanted(NodePlan plan, Dictionary<string, Link> links)
    {
        IPAddress[] gateways = [IpBits.ToAddress(IpBits.Mapped(RoutedGateway.AddressV4)), IpBits.ToAddress(RoutedGateway.AddressV6)];
        foreach (SegmentPlan segment in plan.Segments)
        {
            // One that is down takes no routes.
            if (!links.TryGetValue(segment.Device, out Link? device) || !device.IsUp) continue;
            foreach (IPNetwork prefix in segment.Prefixes) yield return IntoDevice(prefix, 0);
            foreach (IPNetwork prefix in segment.Local) yield return IntoDevice(prefix, LocalMetric);
            foreach (DirectRoute direct in segment.Direct)
            {
                if (!links.TryGetValue(direct.Interface, out Link? underlay) || !underlay.IsUp) continue;
                yield return new Route(direct.Prefix, underlay.Index)
                {
                    Gateway = direct.Gateway,
                    PreferredSource = SourceOf(segment, direct.Prefix),
                    Protocol = Protocol,
                    Metric = MetricOf(direct.Prefix, 0),
                };
            }

            // By one gateway a family, whose hardware address is known for good: no packet waits for address resolution.
            Route IntoDevice(IPNetwork prefix, uint metric) => new(prefix, device.Index)
            {
                Gateway = Array.Find(gateways, gateway => gateway.AddressFamily == prefix.BaseAddress.AddressFamily),
                OnLink = true,
                PreferredSource = SourceOf(segment, prefix),
                Protocol = Protocol,
                Metric = MetricOf(prefix, metric),
            };
        }
    }

    private static IPAddress? SourceOf(SegmentPlan segment, IPNetwork prefix)
    {
        foreach (InterfaceAddress own in segment.Addresses)
        {
            if (own.Address.AddressFamily == prefix.BaseAddress.AddressFamily) return own.Address;
        }
        return null;
    }

    private static uint MetricOf(IPNetwork prefix, uint metric) =>
        metric != 0 || prefix.BaseAddress.AddressFamily == AddressFamily.InterNetwork ? metric : IPv6Metric;
}
