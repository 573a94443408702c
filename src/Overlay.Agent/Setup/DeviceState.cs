using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Planning;
using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Linux.Netlink;
using Overlay.Wire;

namespace Overlay.Agent.Setup;

/// <summary>What the kernel knows, or is to know, about a segment's device.</summary>
internal sealed record DeviceState(
    int InterfaceIndex,
    int Mtu,
    IReadOnlyList<InterfaceAddress> Addresses,
    IReadOnlyList<Neighbour> Neighbours,
    IReadOnlyList<Route> Routes)
{
    /// <summary>Interface index of the bridge that the device is a port of; 0: none; null: left as it is.</summary>
    public int? Master { get; init; }

    /// <summary>Tells our routes from those of others (rtnetlink(7), rtm_protocol).</summary>
    public const byte RouteProtocol = 79;

    /// <summary>
    /// What the kernel takes where an IPv6 route names no metric; ours name it, so that they compare equal to what it reports.
    /// </summary>
    private const uint IPv6Metric = 1024;

    /// <summary>
    /// Every prefix is routed via one gateway a family, whose hardware address is known for good: no packet waits for address resolution.
    /// </summary>
    public static DeviceState Of(SegmentPlan segment, int interfaceIndex)
    {
        var gateways = new[] { IpBits.ToAddress(IpBits.Mapped(RoutedGateway.AddressV4)), IpBits.ToAddress(RoutedGateway.AddressV6) }
            .Where(gateway => segment.Prefixes.Any(prefix => prefix.BaseAddress.AddressFamily == gateway.AddressFamily)).ToArray();
        return new DeviceState(
            interfaceIndex,
            segment.Mtu,
            segment.Addresses,
            [.. gateways.Select(gateway => new Neighbour(interfaceIndex, gateway, RoutedGateway.Mac))],
            [.. segment.Prefixes.Select(prefix => RouteTo(prefix, segment, interfaceIndex, gateways))]);
    }

    private static Route RouteTo(IPNetwork prefix, SegmentPlan segment, int interfaceIndex, IPAddress[] gateways)
    {
        AddressFamily family = prefix.BaseAddress.AddressFamily;
        return new Route(prefix, interfaceIndex)
        {
            Gateway = Array.Find(gateways, gateway => gateway.AddressFamily == family),
            OnLink = true,
            PreferredSource = segment.Addresses.Select(own => own.Address).FirstOrDefault(own => own.AddressFamily == family),
            Protocol = RouteProtocol,
            Metric = family == AddressFamily.InterNetworkV6 ? IPv6Metric : 0,
        };
    }
}
