using System.Diagnostics;
using System.Reflection;
using Overlay.Agent.Capture;
using Overlay.Agent.Configuration;
using Overlay.Agent.Control;
using Overlay.Agent.Explaining;
using Overlay.Agent.Forwarding;
using Overlay.Agent.Health;
using Overlay.Agent.Paths;
using Overlay.Agent.Planning;
using Overlay.Agent.Pods;
using Overlay.Agent.Setup;
using Overlay.Control.Model;
using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux.Tap;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Status;

/// <summary>Describes a running node for the local API. Called by any thread; reads counters while they are written.</summary>
internal sealed class StatusReporter(Node node, HealthReporter health, CaptureHub captures, ControlAgent? control = null, PodWorker? pods = null)
{
    public static readonly string Version =
        typeof(StatusReporter).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    private static readonly Dictionary<string, string> Meanings = DropReasons.All.ToDictionary(DropReasons.Name, DropReasons.Meaning);

    private readonly long _start = Stopwatch.GetTimestamp();

    /// <summary>Judges the node.</summary>
    public HealthReporter Health { get; } = health;

    /// <summary>The node's captures.</summary>
    public CaptureHub Captures { get; } = captures;

    /// <summary>What is forwarded by.</summary>
    public ForwardingSnapshot Snapshot => node.Snapshot;

    /// <summary>Explains packets of the same node.</summary>
    public Explainer Explainer { get; } = new(node, pods);

    public PodsDocument ReportPods() => new([.. (pods?.Attachments ?? []).OrderBy(each => each.Since).ThenBy(each => each.Owner, StringComparer.Ordinal).Select(Pod)]);

    /// <summary>Holds the addresses of pods against all else that there is of them.</summary>
    /// <returns>Null where no pods are wired.</returns>
    /// <exception cref="Pods.Cni.CniException">The kernel does not tell what it has.</exception>
    public async Task<AddressCheckDocument?> CheckAddressesAsync(CancellationToken cancellation) =>
        pods is { IsReady: true } ? await pods.RunAsync(network => network.Inspect()).WaitAsync(cancellation).ConfigureAwait(false) : null;

    public StatusDocument Report()
    {
        lock (node.Structure) return Describe();
    }

    private StatusDocument Describe()
    {
        // Plan and snapshot are read once each; a reload between the two shows in one of them first.
        NodePlan plan = node.Plan;
        ForwardingSnapshot snapshot = node.Snapshot;
        return new StatusDocument(
            plan.Options.Node,
            Version,
            Stopwatch.GetElapsedTime(_start).TotalSeconds,
            snapshot.Revision,
            node.IsForwarding,
            Underlay(plan, node.Underlay.Egress),
            [.. plan.Segments.Select((segment, index) => Segment(segment, node.Devices[index], node.Underlay.Egress, snapshot.Segments[index].Bridge))],
            [.. Queues(plan)],
            [.. snapshot.Peers.All.OrderBy(peer => peer.Name, StringComparer.Ordinal).Select(peer => Peer(peer, snapshot))],
            [.. RouteReporter.Describe(RouteSet.Of(plan.State.Routes), StatusDocument.MostRoutes)],
            plan.State.Routes.Count,
            Meanings)
        {
            Control = control?.Report(),
        };
    }

    /// <summary>Where the MAC addresses of bridged segments are.</summary>
    public FdbDocument ReportFdb()
    {
        Segment[] bridged = [.. node.Snapshot.Segments.Where(segment => segment.Bridge is not null).OrderBy(segment => segment.Name, StringComparer.Ordinal)];
        return new FdbDocument(
            node.Plan.Options.Node,
            [.. bridged.Select(segment => segment.Name)],
            [.. bridged.SelectMany(segment => Entries(segment, segment.Bridge!).OrderBy(entry => entry.Mac, StringComparer.Ordinal))],
            [.. bridged.SelectMany(segment => Neighbours(segment, segment.Bridge!))]);
    }

    public RouteListDocument ReportRoutes()
    {
        NodePlan plan = node.Plan;
        return new RouteListDocument(plan.Options.Node, plan.State.Revision, RouteReporter.Describe(RouteSet.Of(plan.State.Routes)));
    }

    /// <summary>Where packets of a flow go; null where there is no such segment.</summary>
    public RouteLookupDocument? Lookup(FlowQuestion flow, string? segment) => RouteLookup.Find(node.Plan, node.Snapshot, flow, segment);

    public static string ModeName(EgressMode mode) => mode switch
    {
        EgressMode.TunnelGso => "tunnel-gso",
        EgressMode.Raw => "raw",
        _ => "udp-gso",
    };

    private UnderlayStatus Underlay(NodePlan plan, EgressChoice egress) => new(
        plan.Underlay.Interface,
        [.. plan.Underlay.Addresses.Select(address => address.ToString())],
        plan.Underlay.Mtu,
        plan.Options.Underlay.Port,
        [.. plan.Options.Ports.Select(port => new TunnelPortStatus(EncapsulationNames.Of(port.Encapsulation), port.Port)),
            .. plan.Options.UsesIpInIp ? [new TunnelPortStatus(EncapsulationNames.Of(Encapsulation.IpInIp), null)] : Array.Empty<TunnelPortStatus>()],
        ModeName(egress.Mode),
        egress.Reason,
        [.. node.Underlay.Refusals]);

    private static SegmentStatus Segment(SegmentPlan segment, TapDevice device, EgressChoice egress, Bridge? bridge) => new(
        segment.Name,
        bridge is null ? "routed" : "bridged",
        segment.Device,
        segment.Vni == Dataplane.Forwarding.Segment.NoVni ? null : segment.Vni,
        EncapsulationNames.Of(segment.Tunnel),
        ModeName(segment.Tunnel.IsIpInIp ? EgressMode.Raw : segment.Tunnel.KernelSegments ? egress.Mode : EgressMode.UdpGso),
        segment.Mtu,
        segment.Mac.ToString(),
        [.. segment.Addresses.Select(address => address.ToString())],
        [.. Enum.GetValues<TapOffloads>().Where(each => int.PopCount((int)each) == 1 && device.Offloads.HasFlag(each)).Select(OffloadName)],
        device.Refusals,
        bridge is null ? null : new BridgingStatus(
            segment.Bridge, [.. bridge.Flood.Select(peer => peer.Name)], bridge.Static.Count, bridge.ListLearned().Count, bridge.Learned?.Limit,
            bridge.AgeingSeconds, bridge.Neighbours.Count, bridge.LearnedNeighbours is null ? null : bridge.ListNeighbours().Count))
    {
        MtuWarning = segment.MtuWarning,
    };

    private static string OffloadName(TapOffloads offload) => offload switch
    {
        TapOffloads.TsoEcn => "tso-ecn",
        _ => offload.ToString().ToLowerInvariant(),
    };

    private static IEnumerable<FdbEntry> Entries(Segment segment, Bridge bridge)
    {
        foreach ((ulong mac, int location) in bridge.Static)
            yield return new FdbEntry(segment.Name, MacBits.ToAddress(mac).ToString(), bridge.PeerAt(location)?.Name, "fixed", null);
        foreach (LearnedMac learned in bridge.ListLearned())
        {
            yield return new FdbEntry(
                segment.Name, learned.Mac.ToString(), bridge.PeerAt(learned.Location)?.Name, "learned", learned.AgeMilliseconds / 1000.0);
        }
    }

    /// <summary>By address; what is learned of a configured one is not in force.</summary>
    private static NeighbourEntry[] Neighbours(Segment segment, Bridge bridge)
    {
        var found = new SortedDictionary<UInt128, NeighbourEntry>();
        foreach (LearnedNeighbour learned in bridge.ListNeighbours())
            found[learned.Address] = Entry(learned.Address, learned.Neighbour, "learned", learned.AgeMilliseconds / 1000.0);
        foreach ((UInt128 address, BridgeNeighbour neighbour) in bridge.Neighbours) found[address] = Entry(address, neighbour, "fixed", null);
        return [.. found.Values];

        NeighbourEntry Entry(UInt128 address, BridgeNeighbour neighbour, string kind, double? age) => new(
            segment.Name, IpBits.ToAddress(address).ToString(), neighbour.Mac.ToString(), neighbour.IsRouter, kind, age,
            bridge.TryFindRemote(address, bridge.Now, out _));
    }

    private IEnumerable<QueueStatus> Queues(NodePlan plan)
    {
        for (int queue = 0; queue < node.Counters.Count; queue++)
        {
            QueueCounterSet counters = node.Counters[queue];
            for (int segment = 0; segment < plan.Segments.Count; segment++)
                yield return Queue(queue, plan.Segments[segment].Name, counters.BySegment[segment]);
            yield return Queue(queue, null, counters.Unassigned);
        }
    }

    private static QueueStatus Queue(int queue, string? segment, QueueCounters counters) => new(
        queue,
        segment,
        Traffic(counters.EgressIn),
        Traffic(counters.EgressOut),
        counters.EgressAnswered,
        counters.EgressReplicated,
        counters.MacMoves,
        counters.MacsNotLearned,
        counters.NeighboursNotLearned,
        counters.IcmpErrors,
        Traffic(counters.IngressIn),
        Traffic(counters.IngressOut),
        DropReasons.All.ToDictionary(DropReasons.Name, reason => counters.Drops[(int)reason]));

    private static PeerStatus Peer(Peer peer, ForwardingSnapshot snapshot)
    {
        var egress = new TrafficCounters();
        var ingress = new TrafficCounters();
        for (int queue = 0; queue < peer.Traffic.Queues; queue++)
        {
            Add(ref egress, peer.Traffic.Egress(queue));
            Add(ref ingress, peer.Traffic.Ingress(queue));
        }
        return new PeerStatus(peer.Name, peer.Endpoint.ToString(), Macs(peer, snapshot), Traffic(egress), Traffic(ingress), Path(peer.Path))
        {
            Drops = DropReasons.All.Select(reason => (reason, Total: DropsOf(peer.Traffic, reason))).Where(each => each.Total > 0)
                .ToDictionary(each => DropReasons.Name(each.reason), each => each.Total),
        };
    }

    private static long DropsOf(PeerTraffic traffic, DropReason reason) => Enumerable.Range(0, traffic.Queues).Sum(queue => traffic.Dropped(queue, reason));

    private static PathStatus Path(PeerPath path)
    {
        PathReport report = path.Report;
        return new PathStatus(
            path.Mtu, path.LinkMtu, report.State.ToString().ToLowerInvariant(), PathProber.EvidenceName(report), report.IsBlackHole,
            report.RoundTripMilliseconds, report.ProbesSent, report.ProbesAnswered)
        {
            LeadsBack = path.LeadsBack,
        };
    }

    private static Dictionary<string, string> Macs(Peer peer, ForwardingSnapshot snapshot)
    {
        var macs = new Dictionary<string, string>();
        foreach (Segment segment in snapshot.Segments.Where(each => !each.Tunnel.IsBareIp))
        {
            if (Array.Find(segment.Peers, each => each.Name == peer.Name) is { } there) macs.Add(segment.Name, there.Mac.ToString());
        }
        return macs;
    }

    private static void Add(ref TrafficCounters sum, TrafficCounters part) => sum.Add(part.Packets, part.Bytes, part.SuperPackets);

    private static TrafficStatus Traffic(TrafficCounters counters) => new(counters.Packets, counters.Bytes, counters.SuperPackets);

    private PodStatus Pod(Attachment attachment) => new(
        attachment.PodNamespace,
        attachment.PodName,
        attachment.PodUid,
        node.Plan.Options.Node,
        [.. attachment.Addresses.Select(own => own.Address)],
        attachment.Interface,
        attachment.HostInterface,
        attachment.Mac,
        attachment.Mtu,
        attachment.Network,
        attachment.ContainerId,
        attachment.Owner,
        attachment.Namespace,
        attachment.IsWired ? "ready" : "adding",
        attachment.Since);
}
