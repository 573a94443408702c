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
    IReadOnlyList<Neighbour> Neighbours)
{
    /// <summary>Interface index of the bridge that the device is a port of; 0: none; null: left as it is.</summary>
    public int? Master { get; init; }

    /// <summary>With a neighbour a family for what is routed into the device: see <see cref="KernelRoutes"/>.</summary>
    public static DeviceState Of(SegmentPlan segment, int interfaceIndex)
    {
        var gateways = new[] { IpBits.ToAddress(IpBits.Mapped(RoutedGateway.AddressV4)), IpBits.ToAddress(RoutedGateway.AddressV6) }
            .Where(gateway => segment.Prefixes.Concat(segment.Local).Any(prefix => prefix.BaseAddress.AddressFamily == gateway.AddressFamily)).ToArray();
        return new DeviceState(
            interfaceIndex,
            segment.Mtu,
            segment.Addresses,
            [.. gateways.Select(gateway => new Neighbour(interfaceIndex, gateway, RoutedGateway.Mac))]);
    }
}
