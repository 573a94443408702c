using System.Net;
using Overlay.Agent.Planning;
using Overlay.Control.Model;
using Overlay.Linux.Netlink;

namespace Overlay.Agent.Setup;

/// <summary>Reads the interfaces of the daemon's network namespace.</summary>
internal static class HostInterfaces
{
    public static IReadOnlyList<HostInterface> Read()
    {
        using var netlink = new Rtnetlink();
        return Read(netlink, netlink.ListRoutes()
            .Where(route => route.Protocol != KernelRoutes.Protocol).ToLookup(route => route.InterfaceIndex, route => route.Destination));
    }

    /// <summary>Without routes, of which a host may have many.</summary>
    public static IReadOnlyList<HostInterface> ReadWithoutRoutes()
    {
        using var netlink = new Rtnetlink();
        return Read(netlink, Array.Empty<IPNetwork>().ToLookup(_ => 0));
    }

    private static IReadOnlyList<HostInterface> Read(Rtnetlink netlink, ILookup<int, IPNetwork> routes)
    {
        IReadOnlyList<Link> links = netlink.ListLinks();
        ILookup<int, InterfaceAddress> addresses = netlink.ListAddresses().ToLookup(own => own.InterfaceIndex, own => new InterfaceAddress(own.Address, own.PrefixLength));
        Dictionary<int, string> names = links.ToDictionary(link => link.Index, link => link.Name);
        return [.. links.Select(link => new HostInterface(
            link.Name, link.Mtu, [.. addresses[link.Index]])
        {
            IsUp = link.IsUp,
            Kind = link.Kind,
            Master = names.GetValueOrDefault(link.Master),
            Routes = [.. routes[link.Index]],
        })];
    }
}
