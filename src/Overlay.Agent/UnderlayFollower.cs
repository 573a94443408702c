using Microsoft.Extensions.Logging;
using Overlay.Agent.Planning;
using Overlay.Agent.Setup;

namespace Overlay.Agent;

/// <summary>
/// Tells whether the underlay's interfaces changed while the daemon runs: their addresses, which the sockets are opened anew for, their being up
/// or down and their subnets, on which it hangs which peers are reached without a tunnel.
/// </summary>
internal sealed class UnderlayFollower(ILogger log)
{
    private string? _seen;

    /// <summary>True where they are not as they were when this was last asked.</summary>
    public bool HasChanged(NodePlan plan)
    {
        string now = Describe(HostInterfaces.ReadWithoutRoutes(), plan);
        if (now == _seen) return false;
        _seen = now;
        return true;
    }

    /// <summary>True where the sockets, the devices or the kernel's routes have to be others.</summary>
    public static bool Differ(NodePlan before, NodePlan after) =>
        before.Underlay != after.Underlay with { Holders = before.Underlay.Holders }
        || !before.Underlay.Holders.SequenceEqual(after.Underlay.Holders)
        || !before.Segments.Select(segment => segment.Mtu).SequenceEqual(after.Segments.Select(segment => segment.Mtu))
        || !before.State.Peers.Select(peer => peer.IsOnLink).SequenceEqual(after.State.Peers.Select(peer => peer.IsOnLink))
        || !before.Segments.SelectMany(segment => segment.Direct).SequenceEqual(after.Segments.SelectMany(segment => segment.Direct));

    private static string Describe(IReadOnlyList<HostInterface> interfaces, NodePlan plan) => string.Join('\n', interfaces
        .Where(each => each.Name == plan.Underlay.Interface || each.Addresses.Any(own => plan.Underlay.Addresses.Contains(own.Address))
            || each.Addresses.Any(own => plan.Options.Underlay.Addresses.Any(given => given.Value.Equals(own.Address))))
        .Select(each => $"{each.Name} {each.Mtu} {each.IsUp} {string.Join(' ', each.Addresses)}"));

    public void LogChanges(NodePlan before, NodePlan after)
    {
        foreach ((SegmentPlan old, SegmentPlan segment) in before.Segments.Zip(after.Segments).Where(pair => pair.First.Mtu != pair.Second.Mtu))
            log.LogInformation("{Device} has MTU {Mtu} and had {Before}", segment.Device, segment.Mtu, old.Mtu);
        string addresses = string.Join(", ", after.Underlay.Addresses);
        string former = string.Join(", ", before.Underlay.Addresses);
        if (addresses != former) log.LogWarning("the underlay's addresses are now {Addresses} and were {Before}; peers must know", addresses, former);
        int direct = after.Segments.Sum(segment => segment.Direct.Count);
        int formerDirect = before.Segments.Sum(segment => segment.Direct.Count);
        if (direct != formerDirect) log.LogWarning("{Count} prefixes are now reached without a tunnel, and {Before} were", direct, formerDirect);
    }
}
