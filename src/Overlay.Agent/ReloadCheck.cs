using System.Globalization;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;

namespace Overlay.Agent;

/// <summary>Refuses in a reload what cannot change while the daemon runs.</summary>
internal sealed class ReloadCheck(NodePlan before, NodePlan after, ConfigurationProblems problems)
{
    /// <summary>
    /// The plan with its segments in the order in which the workers know them; null, with the reasons among the problems, where it demands
    /// a restart.
    /// </summary>
    public static NodePlan? Accept(NodePlan before, NodePlan after, ConfigurationProblems problems) =>
        new ReloadCheck(before, after, problems).Run();

    private NodePlan? Run()
    {
        OverlaydOptions old = before.Options;
        OverlaydOptions changed = after.Options;
        Same("node", old.Node, changed.Node);
        Same("api: socket", old.ApiSocket, changed.ApiSocket);
        int line = changed.Underlay.Line;
        Same("control", old.Control?.Text ?? "(none)", new(changed.Control?.Text ?? "(none)", changed.Control?.Line ?? line));
        Same("underlay: interface", before.Underlay.Interface ?? "(none)", new(after.Underlay.Interface ?? "(none)", line));
        Same("what is listened on", Ports(old), new(Ports(changed), changed.Underlay.Port.Line));
        Same("underlay: ttl", CopyOr(old.Underlay.Ttl), new(CopyOr(changed.Underlay.Ttl), changed.Underlay.Ttl.Line));
        Same("underlay: trafficClass", CopyOr(old.Underlay.TrafficClass), new(CopyOr(changed.Underlay.TrafficClass), changed.Underlay.TrafficClass.Line));
        Same("underlay: queues", old.Underlay.Queues.Value, changed.Underlay.Queues);
        Same("tunnel: egress", old.Tunnel.Egress.Value, changed.Tunnel.Egress);
        Same("tunnel: checksum", old.Tunnel.Checksum.Value, changed.Tunnel.Checksum);
        Same(
            "tunnel: zeroChecksumIPv6", ZeroChecksums(old),
            new(ZeroChecksums(changed), changed.Tunnel.ZeroChecksumIPv6 is [var first, ..] ? first.Line : changed.Tunnel.Checksum.Line));

        Same("'metrics:'", old.Metrics.Text, new(changed.Metrics.Text, changed.Metrics.Line));
        Same("capture: alarms", old.Capture.Alarms?.Value ?? "(none)", new(changed.Capture.Alarms?.Value ?? "(none)", changed.Capture.Alarms?.Line ?? changed.Capture.Line));
        CheckPods(old.Pods, changed.Pods, changed.Node.Line);

        var segments = new List<SegmentPlan>();
        foreach (SegmentPlan running in before.Segments)
        {
            SegmentPlan? next = after.Segments.FirstOrDefault(segment => segment.Name == running.Name);
            if (next is null)
            {
                problems.Add(0, $"segment '{running.Name}' is gone, which takes a restart", "restart overlayd, or put it back");
                continue;
            }
            CheckSegment(running, next, changed.Segments.First(segment => segment.Name.Value == running.Name));
            segments.Add(next);
        }
        foreach (SegmentOptions added in changed.Segments.Where(segment => before.Segments.All(running => running.Name != segment.Name.Value)))
            problems.Add(added.Name.Line, $"segment '{added.Name}' is new, which takes a restart", "restart overlayd, or take it out");
        return problems.Any ? null : after with
        {
            Segments = segments,
            State = after.State with
            {
                Segments = [.. segments.Select(segment => after.State.Segments.First(state => state.Name == segment.Name))],
            },
        };
    }

    /// <summary>Only draining and masquerading change while pods are there.</summary>
    private void CheckPods(PodsOptions? old, PodsOptions? changed, int line)
    {
        Same("'pods:' as a whole", old is null ? "absent" : "present", new(changed is null ? "absent" : "present", changed?.Line ?? line));
        if (old is null || changed is null) return;
        Same("pods: segment", old.Segment.Value, changed.Segment);
        Same("pods: ranges", List(old.Ranges), new(List(changed.Ranges), changed.Line));
        Same("pods: reserved", List(old.Reserved), new(List(changed.Reserved), changed.Line));
        Same("pods: bridge", old.Bridge?.Value ?? "(none)", new(changed.Bridge?.Value ?? "(none)", changed.Bridge?.Line ?? changed.Line));
        Same("pods: socket", old.Socket.Value, changed.Socket);
        Same("pods: state", old.State.Value, changed.State);
        Same("pods: leakSeconds", old.LeakSeconds.Value, changed.LeakSeconds);
        Same("pods: coolDownSeconds", old.CoolDownSeconds.Value, changed.CoolDownSeconds);
        Same("pods: conflist", Conflist(old.Conflist), new(Conflist(changed.Conflist), changed.Conflist?.Path.Line ?? changed.Line));
    }

    private static string Conflist(ConflistOptions? conflist) =>
        conflist is null ? "(none)" : $"{conflist.Path}, {conflist.Network}, {conflist.Version}, {List(conflist.Plugins)}";

    private static string List<T>(IEnumerable<Located<T>> values) => $"[{string.Join(", ", values)}]";

    private void CheckSegment(SegmentPlan running, SegmentPlan next, SegmentOptions options)
    {
        Same($"vni of segment '{running.Name}'", (int)running.Vni, options.Vni);
        Same($"device of segment '{running.Name}'", running.Device, options.Device);
        Same($"mac of segment '{running.Name}'", running.Mac, new(next.Mac, options.Mac?.Line ?? options.Name.Line));
        Same($"kind of segment '{running.Name}'", Kind(running), new(Kind(next), options.Bridging?.Line ?? options.Name.Line));
        Same($"bridge of segment '{running.Name}'", running.Bridge ?? "(none)", new(next.Bridge ?? "(none)", options.Bridging?.Bridge?.Line ?? options.Name.Line));
        Same($"persistent of segment '{running.Name}'", running.Persistent, options.Persistent);
    }

    private void Same<T>(string what, T old, Located<T> changed)
    {
        if (EqualityComparer<T>.Default.Equals(old, changed.Value)) return;
        problems.Add(changed.Line, $"{what} is {changed} and was {old}, which takes a restart", $"restart overlayd, or put back {old}");
    }

    private static string Kind(SegmentPlan segment) => segment.Bridging is null ? "routed" : "bridged";

    private static string Ports(OverlaydOptions options) =>
        string.Join(", ", options.Ports.Select(port => $"{EncapsulationNames.Of(port.Encapsulation)} {port.Port}").Concat(options.UsesIpInIp ? ["ipip"] : []));

    private static string CopyOr(Located<int?> value) => value.Value is { } given ? given.ToString(CultureInfo.InvariantCulture) : "copy";

    private static string ZeroChecksums(OverlaydOptions options)
    {
        string[] directions = [.. options.Tunnel.ZeroChecksumIPv6.Select(each => each.Value == ChecksumDirection.Send ? "send" : "receive").Distinct().Order()];
        return $"[{string.Join(", ", directions)}]";
    }
}
