using Microsoft.Extensions.Logging;
using Overlay.Agent.Planning;
using Overlay.Agent.Setup;
using Overlay.Linux;

namespace Overlay.Agent;

/// <summary>
/// Follows the underlay's interfaces while the daemon runs: their addresses, which the sockets are opened anew for, their MTU, which the devices
/// take over, their being up or down and their subnets, on which it hangs which peers are reached without a tunnel.
/// </summary>
/// <param name="file">Of the configuration.</param>
internal sealed class UnderlayFollower(string file, ILogger log)
{
    private string? _seen;

    /// <summary>Looks at the interfaces, of which something has changed. Where nothing of the underlay did, nothing is done.</summary>
    public void Follow(Node node)
    {
        IReadOnlyList<HostInterface> interfaces = HostInterfaces.ReadWithoutRoutes();
        NodePlan before = node.Plan;
        string now = Describe(interfaces, before);
        int mtu = interfaces.Where(each => each.Addresses.Any(own => before.Underlay.Addresses.Contains(own.Address)))
            .Select(each => each.Mtu).DefaultIfEmpty(node.UnderlayMtu).Min();
        bool isNewMtu = mtu != node.UnderlayMtu;
        if (isNewMtu) log.LogWarning("the underlay's MTU is now {Mtu} and was {Before}", mtu, node.UnderlayMtu);
        else if (now == _seen) return;
        _seen = now;

        var problems = new ConfigurationProblems(file);
        if (PlanResolver.Follow(before.Options, interfaces, node.Snapshot.Revision + 1, problems) is { } read
            && ReloadCheck.Accept(before, read, problems) is { } plan)
        {
            if (IsSame(before, plan)) return;
            try
            {
                node.Apply(plan);
                LogChanges(before, plan);
                return;
            }
            catch (Exception exception) when (exception is LinuxException or StartRefusedException)
            {
                log.LogError("{Problem}", exception.Message);
            }
        }
        foreach (string problem in problems.Lines) log.LogWarning("{Problem}", problem);
        if (isNewMtu) node.LimitPaths(mtu);
    }

    private static string Describe(IReadOnlyList<HostInterface> interfaces, NodePlan plan) => string.Join('\n', interfaces
        .Where(each => each.Name == plan.Underlay.Interface || each.Addresses.Any(own => plan.Underlay.Addresses.Contains(own.Address))
            || each.Addresses.Any(own => plan.Options.Underlay.Addresses.Any(given => given.Value.Equals(own.Address))))
        .Select(each => $"{each.Name} {each.Mtu} {each.IsUp} {string.Join(' ', each.Addresses)}"));

    private static bool IsSame(NodePlan before, NodePlan after) =>
        before.Underlay == after.Underlay
        && before.Segments.Select(segment => segment.Mtu).SequenceEqual(after.Segments.Select(segment => segment.Mtu))
        && before.State.Peers.Select(peer => peer.IsOnLink).SequenceEqual(after.State.Peers.Select(peer => peer.IsOnLink))
        && before.Segments.SelectMany(segment => segment.Direct).SequenceEqual(after.Segments.SelectMany(segment => segment.Direct));

    private void LogChanges(NodePlan before, NodePlan after)
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
