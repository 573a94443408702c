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
        ILookup<int, IPNetwork> routes = netlink.ListRoutes()
            .Where(route => route.Protocol != DeviceState.RouteProtocol).ToLookup(route => route.InterfaceIndex, route => route.Destination);
        IReadOnlyList<Link> links = netlink.ListLinks();
        Dictionary<int, string> names = links.ToDictionary(link => link.Index, link => link.Name);
        return [.. links.Select(link => new HostInterface(
            link.Name, link.Mtu,
            [.. netlink.ListAddresses(link.Index).Select(own => new InterfaceAddress(own.Address, own.PrefixLength))])
        {
            Kind = link.Kind,
            Master = names.GetValueOrDefault(link.Master),
            Routes = [.. routes[link.Index]],
        })];
    }
}
