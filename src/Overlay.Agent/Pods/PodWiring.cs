using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Pods.Cni;
using Overlay.Dataplane.Forwarding;
using Overlay.Linux;
using Overlay.Linux.Namespaces;
using Overlay.Linux.Netlink;
using Overlay.Wire;

namespace Overlay.Agent.Pods;

/// <summary>
/// The links between pods and the node: a veth pair a pod, a host route an address, and a next hop in the pod that is the same on every node
/// and known for good, so that neither side ever asks for the other.
/// </summary>
/// <param name="host">Of the node's namespace.</param>
/// <param name="home">The node's namespace.</param>
/// <param name="bridge">Pods are its ports; null: each has a link of its own.</param>
internal sealed class PodWiring(Rtnetlink host, NetworkNamespaceFile home, PodBridge? bridge)
{
    /// <summary>Tells routes to pods from those of others and of the overlay's devices (rtnetlink(7), rtm_protocol).</summary>
    public const byte RouteProtocol = 80;

    /// <summary>Of routes that refuse addresses no pod has: any other route to the same prefix goes before.</summary>
    public const uint UnusedMetric = 1 << 17;

    private const uint IPv6Metric = 1024;

    /// <summary>Of the default route of an interface that is not the pod's first: it is used once the first is gone.</summary>
    private const uint FurtherMetric = 2048;

    /// <summary>MAC of a pod's end on the host, by which all that the pod sends reaches the node.</summary>
    public static MacAddress HostMac => RoutedGateway.Mac;

    /// <summary>The addresses as the pod's interface gets them, with the next hop of each family.</summary>
    public AttachedAddress Attached(IPAddress address)
    {
        bool isIPv6 = address.AddressFamily == AddressFamily.InterNetworkV6;
        if (bridge?.GatewayOf(address) is { } gateway) return new AttachedAddress($"{address}/{gateway.PrefixLength}", gateway.Address.ToString());
        return isIPv6
            ? new AttachedAddress($"{address}/128", IpBits.ToAddress(RoutedGateway.AddressV6).ToString())
            : new AttachedAddress($"{address}/32", IpBits.ToAddress(IpBits.Mapped(RoutedGateway.AddressV4)).ToString());
    }

    /// <summary>Makes everything of an attachment, on the host and then in the pod.</summary>
    /// <param name="attachment">What to make.</param>
    /// <param name="space">The pod's namespace.</param>
    /// <param name="preferredSource">Source that the node itself takes towards pods, by family; where there is none the kernel chooses.</param>
    /// <exception cref="LinuxException">The kernel refuses a step; <see cref="Unwire"/> takes back what was made.</exception>
    public void Wire(Attachment attachment, NetworkNamespaceFile space, IReadOnlyList<IPAddress> preferredSource)
    {
        MacAddress mac = MacOf(attachment);
        MacAddress hostMac = bridge is null ? HostMac : bridge.PortMac(attachment.HostInterface);
        host.AddVeth(new VethEnd(attachment.HostInterface, hostMac), new VethEnd(attachment.Interface, mac), space, attachment.Mtu);
        int index = Find(host, attachment.HostInterface).Index;
        host.Together(changes =>
        {
            changes.DisableAddressGeneration(index);
            if (bridge is not null)
            {
                changes.SetMaster(index, bridge.Index);
                changes.SetStation(index, mac);
            }
            changes.SetUp(index, up: true);
            if (bridge is null) AddHostRoutes(attachment, index, mac, preferredSource, replace: false);
        });
        using Rtnetlink pod = space.Run(home, () => new Rtnetlink());
        Link inside = Find(pod, attachment.Interface);
        if (inside.IsIPv6Disabled && attachment.Addresses.Any(own => own.Parsed.IsIPv6)) space.Run(home, () => EnableIPv6(attachment));
        WireInside(attachment, pod, inside.Index);
    }

    /// <summary>Removes what there is of an attachment; nothing happens where nothing is.</summary>
    public void Unwire(string hostInterface)
    {
        if (host.FindLink(hostInterface) is not { } link) return;
        try
        {
            // With it go the other end, its addresses, routes and neighbours.
            host.DeleteLink(link.Index);
        }
        catch (LinuxException exception) when (exception.IsAbsent)
        {
            // The pod's namespace ended meanwhile.
        }
    }

    /// <summary>Puts back what somebody took from the host's side of a pod.</summary>
    /// <returns>True where something was missing.</returns>
    public bool Restore(Attachment attachment, Link link, HostSide side, IReadOnlyList<IPAddress> preferredSource)
    {
        bool missing = false;
        if (!link.IsUp)
        {
            host.SetUp(link.Index, up: true);
            missing = true;
        }
        if (bridge is not null)
        {
            if (link.Master == bridge.Index) return missing;
            host.SetMaster(link.Index, bridge.Index);
            host.SetStation(link.Index, MacOf(attachment));
            return true;
        }
        if (!missing && !MissingOf(attachment, link.Index, side).Any()) return false;
        AddHostRoutes(attachment, link.Index, MacOf(attachment), preferredSource, replace: true);
        return true;
    }

    /// <summary>Gives both ends another MTU.</summary>
    public void SetMtu(Attachment attachment, Link link, NetworkNamespaceFile space, int mtu)
    {
        if (link.Mtu != mtu) host.SetMtu(link.Index, mtu);
        using Rtnetlink pod = space.Run(home, () => new Rtnetlink());
        if (pod.FindLink(attachment.Interface) is { } inside && inside.Mtu != mtu) pod.SetMtu(inside.Index, mtu);
    }

    /// <summary>Looks whether an attachment is as it is expected to be.</summary>
    /// <returns>What is not; empty where all is.</returns>
    public IReadOnlyList<string> Check(ExpectedAttachment expected, NetworkNamespaceFile space)
    {
        Attachment attachment = expected.Attachment;
        var wrong = new List<string>();
        if (host.FindLink(attachment.HostInterface) is not { } link) return [$"the interface {attachment.HostInterface} of the host is gone"];
        if (!link.IsUp) wrong.Add($"the interface {attachment.HostInterface} of the host is down");
        if (bridge is null)
        {
            wrong.AddRange(MissingOf(attachment, link.Index, HostSide.Read(host)));
        }
        else if (link.Master != bridge.Index)
        {
            wrong.Add($"the interface {attachment.HostInterface} of the host is no port of the bridge");
        }
        using Rtnetlink pod = space.Run(home, () => new Rtnetlink());
        if (pod.FindLink(attachment.Interface) is not { } inside) return [.. wrong, $"the container has no interface {attachment.Interface}"];
        if (!inside.IsUp) wrong.Add($"the container's interface {attachment.Interface} is down");
        if (inside.Mac.ToString() != expected.Mac) wrong.Add($"the container's interface has the MAC {inside.Mac} and was given {expected.Mac}");
        IReadOnlyList<AssignedAddress> addresses = pod.ListAddresses(inside.Index);
        IReadOnlyList<Route> podRoutes = pod.ListRoutes();
        IReadOnlyList<Neighbour> neighbours = pod.ListNeighbours(inside.Index);
        foreach (AttachedAddress own in attachment.Addresses)
        {
            IPAddress address = own.Parsed.Address;
            if (!addresses.Any(has => has.Address.Equals(address))) wrong.Add($"the container's interface has lost the address {address}");
            if (bridge is null && !neighbours.Any(neighbour => neighbour.Address.ToString() == own.Gateway && neighbour.Mac == HostMac))
                wrong.Add($"the container does not know the MAC of its next hop {own.Gateway} any more");
            string everything = CniResult.DefaultRoute(address.AddressFamily);
            if (expected.Routes.Contains(everything) && !podRoutes.Any(route => route.InterfaceIndex == inside.Index && route.Destination.Equals(IPNetwork.Parse(everything))))
                wrong.Add($"the container's default route by {attachment.Interface} is gone, for {address}");
        }
        return wrong;
    }

    public static IPNetwork HostPrefix(IPAddress address) => new(address, address.AddressFamily == AddressFamily.InterNetworkV6 ? 128 : 32);

    private static MacAddress MacOf(Attachment attachment) =>
        MacAddress.TryParse(attachment.Mac, out MacAddress mac) ? mac : throw new InvalidOperationException($"the MAC '{attachment.Mac}' is none");

    /// <summary>What the host lacks to reach a pod that has a link of its own.</summary>
    private static IEnumerable<string> MissingOf(Attachment attachment, int index, HostSide side)
    {
        foreach (IPAddress address in attachment.Addresses.Select(own => own.Parsed.Address))
        {
            if (!side.HasRoute(index, HostPrefix(address))) yield return $"the host has no route to {HostPrefix(address)}";
            if (!side.HasNeighbour(new Neighbour(index, address, MacOf(attachment)))) yield return $"the host does not know the MAC of {address} any more";
        }
    }

    /// <summary>
    /// Runs inside the pod's namespace, where it may be off by default, as some runtimes have it. The setting is read by netlink and touched here only
    /// where it has to be: the kernel keeps all namespaces' entries of one name below /proc/sys in one chain, and so takes longer the more there are.
    /// </summary>
    private static bool EnableIPv6(Attachment attachment) =>
        Sysctl.TrySet($"net/ipv6/conf/{attachment.Interface}/disable_ipv6", "0") is { } refusal
            ? throw new CniException(CniErrorCode.IoFailure, $"IPv6 cannot be enabled in the container: {refusal}")
            : true;

    private void WireInside(Attachment attachment, Rtnetlink pod, int index)
    {
        IReadOnlyList<Route> present = pod.ListRoutes();
        pod.Together(changes => AddInside(attachment, changes, index, present));
    }

    /// <summary>
    /// What needs no carrier comes before the link is set up: its carrier has the kernel look through all of the host's routes, under the lock that
    /// whatever follows here waits for, and the more pods there are, the longer that takes.
    /// </summary>
    private void AddInside(Attachment attachment, Rtnetlink pod, int index, IReadOnlyList<Route> present)
    {
        foreach (AttachedAddress own in attachment.Addresses)
        {
            pod.AddAddress(new AssignedAddress(index, own.Parsed.Address, own.Parsed.PrefixLength));
            if (bridge is null) pod.SetNeighbour(new Neighbour(index, IPAddress.Parse(own.Gateway), HostMac));
        }
        pod.SetUp(index, up: true);
        foreach (IPAddress gateway in attachment.Addresses.Select(own => IPAddress.Parse(own.Gateway)))
        {
            AddressFamily family = gateway.AddressFamily;
            var everything = IPNetwork.Parse(CniResult.DefaultRoute(family));
            bool isFirst = !present.Any(route => route.Destination.Equals(everything) && route.InterfaceIndex != index);
            pod.AddRoute(new Route(everything, index)
            {
                Gateway = gateway,
                OnLink = true,
                Protocol = RouteProtocol,
                Metric = isFirst ? family == AddressFamily.InterNetworkV6 ? IPv6Metric : 0 : FurtherMetric + (uint)index,
            });
        }
    }

    private void AddHostRoutes(Attachment attachment, int index, MacAddress mac, IReadOnlyList<IPAddress> preferredSource, bool replace)
    {
        foreach (IPAddress address in attachment.Addresses.Select(own => own.Parsed.Address))
        {
            host.SetNeighbour(new Neighbour(index, address, mac));
            var route = new Route(HostPrefix(address), index)
            {
                Protocol = RouteProtocol,
                PreferredSource = preferredSource.FirstOrDefault(source => source.AddressFamily == address.AddressFamily),
                Metric = address.AddressFamily == AddressFamily.InterNetworkV6 ? IPv6Metric : 0,
            };
            if (replace) host.ReplaceRoute(route);
            else host.AddRoute(route);
        }
    }

    private static Link Find(Rtnetlink netlink, string name) => netlink.FindLink(name) ?? throw new CniException(CniErrorCode.UnknownContainer, $"the interface {name} went while it was made: the container has ended");
}
