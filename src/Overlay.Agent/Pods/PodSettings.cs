using System.Net;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Dataplane.Tunnels;

namespace Overlay.Agent.Pods;

/// <summary>What the wiring of pods takes from the node's plan; a reload or another underlay brings new ones.</summary>
/// <param name="Options">Of pods.</param>
/// <param name="Node">Name of the node.</param>
/// <param name="Device">Of the segment that pods are in.</param>
/// <param name="Devices">Of all segments.</param>
/// <param name="Mtu">Of the segment that pods are in: bytes of an IP packet.</param>
/// <param name="OwnAddresses">Of the segment's device: the source that the node takes towards pods.</param>
internal sealed record PodSettings(PodsOptions Options, string Node, string Device, IReadOnlyList<string> Devices, int Mtu, IReadOnlyList<IPAddress> OwnAddresses)
{
    /// <summary>UDP ports that this node and its peers take tunnelled packets on.</summary>
    public IReadOnlyList<ushort> TunnelPorts { get; init; } = [];

    /// <summary>Whether IP-in-IP is taken.</summary>
    public bool TakesIpInIp { get; init; }

    /// <returns>Null where the plan has no pods, or not yet the network that they are in.</returns>
    public static PodSettings? Of(NodePlan plan)
    {
        if (plan.Options.Pods is not { } options || plan.Segments.FirstOrDefault(each => each.Name == options.Segment.Value) is not { } segment) return null;
        return new PodSettings(
            options, plan.Options.Node, segment.Device, [.. plan.Segments.Select(each => each.Device)], segment.Mtu, [.. segment.Addresses.Select(own => own.Address)])
        {
            TunnelPorts =
            [
                .. plan.Options.Ports.Select(each => each.Port).Concat(plan.Segments.Select(each => plan.Options.PortOf(each.Tunnel.Encapsulation)))
                    .Select(port => (ushort)port).Concat(plan.State.Peers.Select(peer => peer.Endpoint.Port)).Where(port => port != 0).Distinct().Order(),
            ],
            TakesIpInIp = plan.State.IpInIpSegment is not null || plan.Segments.Any(each => each.Tunnel.Encapsulation == Encapsulation.IpInIp),
        };
    }
}
