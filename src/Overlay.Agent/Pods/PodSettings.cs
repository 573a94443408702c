using System.Net;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;

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
    /// <returns>Null where the plan has no pods, or not yet the network that they are in.</returns>
    public static PodSettings? Of(NodePlan plan)
    {
        if (plan.Options.Pods is not { } options || plan.Segments.FirstOrDefault(each => each.Name == options.Segment.Value) is not { } segment) return null;
        return new PodSettings(
            options, plan.Options.Node, segment.Device, [.. plan.Segments.Select(each => each.Device)], segment.Mtu, [.. segment.Addresses.Select(own => own.Address)]);
    }
}
