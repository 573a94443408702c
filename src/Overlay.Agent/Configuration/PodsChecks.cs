using System.Net;
using System.Net.Sockets;

namespace Overlay.Agent.Configuration;

/// <summary>Checks what a configuration says of pods against itself and the rest.</summary>
internal sealed class PodsChecks(OverlaydOptions options, ConfigurationProblems problems)
{
    /// <summary>Ranges smaller than this hold no address that a pod can have.</summary>
    private const int MostPrefixLengthV4 = 30;

    private const int MostPrefixLengthV6 = 126;

    public void Run()
    {
        if (options.Pods is not { } pods) return;
        if (options.Control is { } control)
        {
            RunWithControllers(pods, control);
            return;
        }
        SegmentOptions? segment = options.Segments.FirstOrDefault(each => each.Name.Value == pods.Segment.Value);
        if (segment is null)
            problems.Add(
                pods.Segment.Line, $"'segment' of pods is '{pods.Segment}', which is not listed",
                $"did you mean '{NearestWord.Of(pods.Segment, options.Segments.Select(each => each.Name.Value).DefaultIfEmpty("pods"))}'?");
        else if (segment.Bridging is not null)
            problems.Add(pods.Segment.Line, $"pods are in the bridged segment '{segment.Name}'", "name a routed one");
        if (pods.Ranges.Count == 0) problems.Add(pods.Line, "pods have no 'ranges'", "write 'ranges: [10.244.1.0/24]', what other nodes route to this one");
        CheckRanges(pods);
        foreach (Located<IPAddress> reserved in pods.Reserved)
        {
            if (pods.Ranges.All(range => !range.Value.Contains(reserved.Value)))
                problems.Add(reserved.Line, $"reserved address {reserved} is in none of the pods' ranges", "leave it out");
        }
    }

    private void RunWithControllers(PodsOptions pods, ControlOptions control)
    {
        if (pods.Ranges is [var range, ..])
            problems.Add(range.Line, $"'ranges' of pods ({range}) contradicts 'control:', by which controllers lease the addresses", "leave it out; 'overlay network create' and 'add-pool' name the pools");
        if (pods.Reserved is [var reserved, ..])
            problems.Add(reserved.Line, $"'reserved' of pods ({reserved}) contradicts 'control:'", $"leave it out; 'overlay ipam reserve {reserved}' says so to every node");
        if (pods.Bridge is { } bridge)
            problems.Add(bridge.Line, "pods on a bridge need 'ranges', and 'control:' leases blocks that come and go", "write 'mode: point-to-point', or leave it out");
        if (control.Networks is { } networks && networks.All(network => network.Value != pods.Segment.Value))
            problems.Add(pods.Segment.Line, $"pods are in '{pods.Segment}', which is none of 'control: networks'", $"add it there, or name one of {string.Join(", ", networks)}");
    }

    private void CheckRanges(PodsOptions pods)
    {
        for (int i = 0; i < pods.Ranges.Count; i++)
        {
            IPNetwork range = pods.Ranges[i];
            bool isIPv6 = range.BaseAddress.AddressFamily == AddressFamily.InterNetworkV6;
            int most = isIPv6 ? MostPrefixLengthV6 : MostPrefixLengthV4;
            if (range.PrefixLength > most)
                problems.Add(pods.Ranges[i].Line, $"the range {range} of pods is too small", $"write at most /{most}");
            for (int other = 0; other < i; other++)
            {
                if (Overlap(range, pods.Ranges[other]))
                    problems.Add(pods.Ranges[i].Line, $"the range {range} of pods overlaps {pods.Ranges[other]}", "keep one of them");
                else if (pods.Bridge is not null && pods.Ranges[other].Value.BaseAddress.AddressFamily == range.BaseAddress.AddressFamily)
                    problems.Add(pods.Ranges[i].Line, $"the range {range} is the bridge's second of its family", "keep one a family, or write 'mode: point-to-point'");
            }
            foreach (RouteOptions route in options.Routes)
            {
                // Longer prefixes of other nodes inside ours would take pods' traffic away; ours inside theirs is how an aggregate looks.
                if (route.Peers.Count > 0 && range.Contains(route.Prefix.Value.BaseAddress) && range.PrefixLength <= route.Prefix.Value.PrefixLength)
                    problems.Add(route.Prefix.Line, $"route {route.Prefix} lies in the range {range} of this node's pods", "route only what lives behind the peer");
            }
        }
    }

    private static bool Overlap(IPNetwork one, IPNetwork other) =>
        one.BaseAddress.AddressFamily == other.BaseAddress.AddressFamily && (one.Contains(other.BaseAddress) || other.Contains(one.BaseAddress));
}
