using System.Net;
using Overlay.Linux.Netlink;

namespace Overlay.Agent.Pods;

/// <summary>Where the host's routes lead, and the neighbours that it knows for good, at one moment: looked at for one pod after the other.</summary>
internal sealed class HostSide
{
    private readonly HashSet<(int InterfaceIndex, IPNetwork Destination)> _routes;
    private readonly HashSet<Neighbour> _neighbours;

    private HostSide(IEnumerable<Route> routes, IEnumerable<Neighbour> neighbours)
    {
        _routes = [.. routes.Select(route => (route.InterfaceIndex, route.Destination))];
        _neighbours = [.. neighbours];
    }

    /// <exception cref="Linux.LinuxException">The kernel does not tell what it has.</exception>
    public static HostSide Read(Rtnetlink host) => new(host.ListRoutes(), host.ListNeighbours());

    public bool HasRoute(int interfaceIndex, IPNetwork destination) => _routes.Contains((interfaceIndex, destination));

    public bool HasNeighbour(Neighbour neighbour) => _neighbours.Contains(neighbour);

    /// <summary>The addresses that lead to some interfaces.</summary>
    public IEnumerable<IPAddress> AddressesBehind(IReadOnlySet<int> interfaces) =>
        _routes.Where(route => interfaces.Contains(route.InterfaceIndex)).Select(route => route.Destination.BaseAddress);
}
