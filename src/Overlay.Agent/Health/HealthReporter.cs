using System.Globalization;
using Overlay.Agent.Configuration;
using Overlay.Agent.Control;
using Overlay.Agent.Pods;
using Overlay.Agent.Setup;
using Overlay.Control.Ipam;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Rpc;

namespace Overlay.Agent.Health;

/// <summary>Judges a running node: what is wrong, and what to do about it. Any thread may ask.</summary>
internal sealed class HealthReporter(Node node, ControlAgent? control)
{
    /// <summary>Drops of one reason in a minute from which on they are no accident.</summary>
    private const long ManyDrops = 50;

    /// <summary>A controller that fell away is replaced by another within this.</summary>
    private static readonly TimeSpan ControlPatience = TimeSpan.FromSeconds(10);

    /// <summary>What each reason points to; others are the business of those who send.</summary>
    private static readonly (DropReason Reason, string Remedy)[] Suspicious =
    [
        (DropReason.EgressQueueFull, "the underlay's interface is slower than what pods send; raise net.core.wmem_max, or look at its queue (tc -s qdisc)"),
        (DropReason.EgressUnreachable, "give the underlay a route to the peers ('overlay peers'), or set its interface up"),
        (DropReason.EgressRefused, "see 'overlay capture --ring --dropped' for the packets, and the host's packet filter"),
        (DropReason.EgressLoop, "take routes away that lead the underlay's own addresses into the overlay ('overlay route get ADDRESS')"),
        (DropReason.IngressUnknownPeer, "add the sender to the peers, or stop it; 'overlay capture --ring --dropped' shows its address"),
        (DropReason.IngressUnknownSegment, "give both ends the same VNI; 'overlay capture --ring --dropped' shows what the peer sends"),
        (DropReason.IngressSpoofedMac, "look for a loop between nodes, or a MAC address that two hosts have ('overlay fdb')"),
        (DropReason.IngressInnerMac, "give the peer this device's MAC address ('overlay status'), under 'peers: mac:' there"),
        (DropReason.IngressCriticalOption, "configure the same Geneve options at both ends"),
        (DropReason.IngressReversePath, "route the senders' prefixes to that peer, or write 'reversePath: off' for it; 'overlay capture --ring --dropped' shows them"),
        (DropReason.IngressDeviceRefused, "set the device up, or give the hosts behind it more processor time"),
    ];

    private readonly DropWatch _drops = new(node);
    private volatile PodWorker? _pods;

    /// <summary>Whoever wires pods; null: nobody.</summary>
    public PodWorker? Pods
    {
        set => _pods = value;
    }

    /// <summary>To be called every five seconds, for what is counted over the last minute.</summary>
    public void Look() => _drops.Look();

    public HealthDocument Report()
    {
        var findings = new List<HealthFinding>();
        bool forwards = node.IsForwarding;
        if (!forwards) findings.Add(new("workers", HealthSeverity.Failing, "a worker does not run, so nothing is forwarded", "see the log of overlayd, and restart it"));
        DeviceTrouble[] troubles = [.. node.Troubles];
        foreach (DeviceTrouble trouble in troubles)
            findings.Add(new("device", trouble.Blocks ? HealthSeverity.Failing : HealthSeverity.Degraded, trouble.Text, "undo what was done to it; overlayd puts back the rest by itself"));
        JudgeSelfTest(findings);
        JudgePaths(findings);
        JudgeEgress(findings);
        foreach (string warning in node.Plan.MtuWarnings) findings.Add(new("mtu", HealthSeverity.Degraded, warning, $"{(control is null ? "lessen 'mtu' of the segment" : "lessen the network's MTU ('overlay network set-mtu')")}, or raise the underlay's MTU"));
        foreach (string warning in node.Plan.LoopWarnings) findings.Add(new("path", HealthSeverity.Degraded, warning, "take the route away, or name 'underlay: interface:'"));
        JudgeControl(findings);
        JudgeAddresses(findings);
        JudgeDrops(findings);
        findings = [.. findings.OrderBy(finding => finding.Severity == HealthSeverity.Failing ? 0 : 1)];
        string status = findings.Count == 0 ? HealthDocument.Healthy : findings[0].Severity;
        return new HealthDocument(node.Plan.Options.Node, status, forwards, forwards && !troubles.Any(trouble => trouble.Blocks), findings, node.SelfTest.Results);
    }

    private void JudgeSelfTest(List<HealthFinding> findings)
    {
        foreach (SelfTestResult failed in node.SelfTest.Results.Where(test => test.Passed == false))
            findings.Add(new("self-test", HealthSeverity.Degraded, $"{failed.Name}: {failed.Outcome}", failed.Name == SelfTest.Devices
                ? "update the kernel, and restart overlayd" : "look for a packet filter on the loopback interface, or update the kernel; then restart overlayd"));
    }

    private void JudgePaths(List<HealthFinding> findings)
    {
        foreach (Peer peer in node.Snapshot.Peers.All.OrderBy(peer => peer.Name, StringComparer.Ordinal))
        {
            PathReport path = peer.Path.Report;
            if (path.IsBlackHole)
            {
                findings.Add(new(
                    "path", HealthSeverity.Degraded,
                    $"black hole on the way to {peer.Name}: packets of more than {peer.Path.Mtu} bytes are lost without an ICMP error, and {peer.Path.LinkMtu} leave this host",
                    "let ICMP errors through on the way, or give this host's route the smaller MTU; meanwhile overlayd sends nothing larger"));
            }
            else if (path.State == PathState.Error && !peer.Path.LeadsBack)
            {
                findings.Add(new(
                    "path", HealthSeverity.Degraded, $"peer {peer.Name} at {peer.Endpoint} answers no more",
                    $"see that overlayd runs there, and that UDP gets through between the nodes"));
            }
        }
    }

    private void JudgeEgress(List<HealthFinding> findings)
    {
        if (node.Plan.Options.Tunnel.Egress.Value != EgressMode.TunnelGso || node.Underlay.Egress.Mode == EgressMode.TunnelGso) return;
        findings.Add(new("egress", HealthSeverity.Degraded, $"super-packets leave by udp-gso, though tunnel-gso is configured: {node.Underlay.Egress.Reason}", "let the packet filter accept what comes in by the devices ovl*, or write 'egress: auto'"));
    }

    private void JudgeControl(List<HealthFinding> findings)
    {
        if (control is null) return;
        ControlStatus status = control.Report();
        if (status.Controller is null && control.Silence > ControlPatience)
        {
            findings.Add(new(
                "control", HealthSeverity.Degraded, string.Create(CultureInfo.InvariantCulture, $"no controller was heard for {control.Silence.TotalSeconds:0} s; what was known last, revision {status.Revision}, stays in force"),
                "see that a controller runs and can be reached under 'control: controllers:'"));
        }
        foreach (string problem in status.Problems) findings.Add(new("control", HealthSeverity.Degraded, problem, "see the controller's log"));
    }

    private void JudgeAddresses(List<HealthFinding> findings)
    {
        IEnumerable<NodeAllocator.BlockUse> blocks = [.. _pods?.Blocks ?? [], .. control?.Allocator.BlocksInUse ?? []];
        foreach (var pool in blocks.DistinctBy(block => block.Prefix).GroupBy(block => (block.Network, block.Prefix.BaseAddress.AddressFamily)))
        {
            long size = pool.Sum(block => (long)block.Size);
            long used = pool.Sum(block => (long)block.InUse);
            // The first address and the like are nobody's.
            if (used * 20 < size * 19) continue;
            findings.Add(new(
                "addresses", HealthSeverity.Degraded,
                string.Create(CultureInfo.InvariantCulture, $"{used} of {size} addresses of {pool.Key.Network} are in use ({string.Join(", ", pool.Select(block => block.Prefix))})"),
                "delete pods, or give this node another range or block"));
        }
    }

    private void JudgeDrops(List<HealthFinding> findings)
    {
        (IReadOnlyDictionary<DropReason, long> drops, long overruns) = _drops.Recent();
        foreach ((DropReason reason, string remedy) in Suspicious)
        {
            if (drops[reason] < ManyDrops) continue;
            findings.Add(new(
                "drops", HealthSeverity.Degraded,
                string.Create(CultureInfo.InvariantCulture, $"{drops[reason]:N0} packets were dropped in the last minute as {DropReasons.Name(reason)}: {DropReasons.Meaning(reason)}"), remedy));
        }
        if (overruns >= ManyDrops)
        {
            findings.Add(new(
                "drops", HealthSeverity.Degraded, string.Create(CultureInfo.InvariantCulture, $"the kernel dropped {overruns:N0} datagrams in the last minute because overlayd's receive buffers were full, or UDP checksums wrong"),
                "raise net.core.rmem_max, or 'underlay: queues:' on a host with processors to spare"));
        }
    }
}
