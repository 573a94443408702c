namespace Overlay.Linux.Netlink;

/// <summary>Where the kernel would send a packet.</summary>
/// <param name="InterfaceIndex">Interface that it leaves by.</param>
/// <param name="Mtu">MTU metric of the route, which somebody configured; null: the route has none. What ICMP errors told is not in it.</param>
public sealed record RouteWay(int InterfaceIndex, int? Mtu);
