using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Api;
using Overlay.Agent.Configuration;
using Overlay.Agent.Control;
using Overlay.Agent.Planning;
using Overlay.Agent.Pods;
using Overlay.Agent.Setup;
using Overlay.Agent.Status;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux;
using Overlay.Linux.Netlink;
using Overlay.Rpc.Hosting;

namespace Overlay.Agent;

/// <summary>The life of the daemon: start, reload on SIGHUP, end on SIGTERM, SIGINT or a dead worker.</summary>
internal sealed partial class Daemon(string file, ILoggerFactory logs) : IDisposable
{
    /// <summary>How long packets may be lost, at most, to a device that somebody changed.</summary>
    private static readonly TimeSpan VerifyInterval = TimeSpan.FromSeconds(5);

    private readonly ILogger _log = logs.CreateLogger("overlayd");
    private readonly BlockingCollection<Event> _events = [];
    private ControlAgent? _control;
    private NodeObservation? _observation;
    private int _controlChanged;

    private enum EventKind
    {
        Reload,
        Stop,
        WorkerDied,

        /// <summary>Links, addresses or routes of the host changed.</summary>
        HostChanged,

        /// <summary>The controllers told something.</summary>
        ControlChanged,
    }

    private readonly record struct Event(EventKind Kind, Exception? Cause = null);

    /// <summary>Runs until told to stop.</summary>
    /// <param name="plan">From the configuration file as it was read at start.</param>
    public async Task<ExitCode> RunAsync(NodePlan plan)
    {
        using PosixSignalRegistration reload = On(PosixSignal.SIGHUP, EventKind.Reload);
        using PosixSignalRegistration terminate = On(PosixSignal.SIGTERM, EventKind.Stop);
        using PosixSignalRegistration interrupt = On(PosixSignal.SIGINT, EventKind.Stop);
        var notification = new ServiceNotification(_log);
        try
        {
            // The socket goes first: it keeps a second daemon from touching the first one's devices.
            var monitoring = new Monitoring("overlayd");
            await using LocalApiServer api = await LocalApiServer.StartAsync(plan.Options.ApiSocket, monitoring, logs).ConfigureAwait(false);
            await using HttpEndpoint? endpoint = await monitoring.ListenAsync(plan.Options.Metrics.Listen?.Value, logs).ConfigureAwait(false);
            using ControlAgent? control = plan.Options.Control is null ? null : new ControlAgent(plan, AnnounceControl, WorkerDied, _log);
            _control = control;
            NodePlan first = control?.Plan() ?? plan;
            _pods = ListenForPods(first);
            try
            {
                using var node = Node.Start(first, WorkerDied, _log);
                using HostEvents host = node.Watch(() => _events.Add(new Event(EventKind.HostChanged)), WorkerDied);
                using var observation = new NodeObservation(node, control, monitoring, _log);
                _observation = observation;
                api.Reporter = observation.Report(_pods);
                if (_pods is not null) await _pods.StartAsync().ConfigureAwait(false);
                node.MtuChanged += segment => _log.LogInformation("{Device} has MTU {Mtu}", segment.Device, segment.Mtu);
                HostWarnings.Log(plan, _log);
                LogWarnings(node.Plan, before: null);
                LogReady(node);
                notification.Ready();
                control?.Start();
                ExitCode code = Serve(node, api, host, notification);
                notification.Stopping();
                return code;
            }
            finally
            {
                if (_pods is not null) await _pods.DisposeAsync().ConfigureAwait(false);
            }
        }
        catch (Exception exception) when (exception is LinuxException or StartRefusedException or ListenException)
        {
            _log.LogCritical("cannot run: {Problem}", exception.Message);
            return ExitCode.Failed;
        }
    }

    public void Dispose() => _events.Dispose();

    private ExitCode Serve(Node node, LocalApiServer api, HostEvents host, ServiceNotification notification)
    {
        var follower = new UnderlayFollower(_log);
        long verified = Stopwatch.GetTimestamp();
        while (true)
        {
            TimeSpan left = VerifyInterval - Stopwatch.GetElapsedTime(verified);
            if (left <= TimeSpan.Zero)
            {
                node.VerifyDevices();
                _observation!.Look();
                verified = Stopwatch.GetTimestamp();
                continue;
            }
            if (!_events.TryTake(out Event next, left)) continue;
            switch (next.Kind)
            {
                case EventKind.Reload:
                    notification.Reloading();
                    Reload(node);
                    Tell(node, api);
                    notification.Ready();
                    break;
                case EventKind.HostChanged:
                    IReadOnlyList<NetlinkEvent> events = [.. host.Take().Where(each => !IsOfPods(each))];
                    if (events.Count == 0) break;
                    node.HostChanged(events);
                    if (_control is not null) FollowHost(node, _control, events);
                    else FollowUnderlay(node, follower);
                    Tell(node, api);
                    break;
                case EventKind.ControlChanged:
                    Volatile.Write(ref _controlChanged, 0);
                    if (Apply(node, _control!.Plan())) Tell(node, api);
                    break;
                case EventKind.WorkerDied:
                    _log.LogCritical(next.Cause, "a worker died, so the daemon ends");
                    return ExitCode.Failed;
                default:
                    _log.LogInformation("stopping");
                    return ExitCode.Ok;
            }
        }
    }

    /// <summary>
    /// Takes over what the underlay's interfaces and routes carry now: into the paths to peers, the devices, and thereby their routes. A
    /// configured MTU that no longer fits is lessened until it does.
    /// </summary>
    private void FollowUnderlay(Node node, UnderlayFollower follower)
    {
        NodePlan before = node.Plan;
        using var ways = new HostWays(before.Options);
        NodePlan measured = ways.Measure(before);
        bool isOtherHost = follower.HasChanged(before);
        if (measured == before && !isOtherHost) return;
        var problems = new ConfigurationProblems(file);
        if (PlanFile.Follow(before, node.Snapshot.Revision + 1, problems) is { } read && ReloadCheck.Accept(before, read, problems) is { } plan)
        {
            if (measured == before && !UnderlayFollower.Differ(before, plan)) return;
            try
            {
                node.Apply(plan);
                LogUnderlay(before, plan);
                follower.LogChanges(before, plan);
                return;
            }
            catch (Exception exception) when (exception is LinuxException or StartRefusedException)
            {
                _log.LogError("{Problem}", exception.Message);
            }
        }
        foreach (string problem in problems.Lines) _log.LogWarning("{Problem}", problem);
        if (measured == before) return;
        // Devices stay as they are; senders are told packet by packet.
        node.TakeWays(measured);
        LogUnderlay(before, measured);
    }

    private void LogUnderlay(NodePlan before, NodePlan plan)
    {
        if (plan.Underlay.Mtu != before.Underlay.Mtu) _log.LogWarning("the underlay's MTU is now {Mtu} and was {Before}", plan.Underlay.Mtu, before.Underlay.Mtu);
        foreach ((string peer, PeerWay way) in plan.Ways)
        {
            if (before.MtuTo(peer) == way.Mtu || way.Mtu == plan.Underlay.Mtu) continue;
            _log.LogWarning("the way to peer {Peer} by {Interface} now carries {Mtu} bytes and carried {Before}", peer, way.Interface, way.Mtu, before.MtuTo(peer));
        }
        LogWarnings(plan, before);
    }

    /// <summary>Tells what was not told before.</summary>
    private void LogWarnings(NodePlan plan, NodePlan? before)
    {
        foreach (string warning in plan.Warnings.Except(before?.Warnings ?? [])) _log.LogWarning("{Warning}", warning);
    }

    /// <summary>Follows the underlay's addresses and MTU where the controllers tell the peers, which are told of other addresses in turn.</summary>
    private void FollowHost(Node node, ControlAgent control, IReadOnlyList<NetlinkEvent> events)
    {
        bool moved = false;
        if (events.Any(each => each is LinkEvent or AddressEvent or EventsLost))
        {
            var problems = new ConfigurationProblems(file);
            if (PlanFile.Resolve(control.Basis.Options, 0, control.Basis, problems) is not { } basis)
            {
                foreach (string problem in problems.Lines) _log.LogWarning("{Problem}", problem);
                return;
            }
            moved = !basis.Underlay.Addresses.SequenceEqual(control.Basis.Underlay.Addresses);
            if (moved) _log.LogWarning("the underlay's addresses are now {Addresses}", string.Join(',', basis.Underlay.Addresses));
            if (moved || basis.Underlay.Mtu != control.Basis.Underlay.Mtu) control.Use(basis);
        }
        NodePlan before = node.Plan;
        using var ways = new HostWays(before.Options);
        if (!moved && ways.Measure(before) == before) return;
        NodePlan plan = control.Plan();
        if (Apply(node, plan)) LogUnderlay(before, plan);
    }

    private bool Apply(Node node, NodePlan plan)
    {
        try
        {
            node.Apply(plan);
            return true;
        }
        catch (Exception exception) when (exception is LinuxException or StartRefusedException)
        {
            _log.LogError("{Problem}", exception.Message);
            return false;
        }
    }

    private void AnnounceControl()
    {
        // One event stands for all that is told until it is taken.
        if (Interlocked.Exchange(ref _controlChanged, 1) == 0) _events.Add(new Event(EventKind.ControlChanged));
    }

    private void ReloadBasis(Node node, ControlAgent control)
    {
        var problems = new ConfigurationProblems(file);
        if (PlanFile.Read(file, 0, control.Basis, problems) is { } read && ReloadCheck.Accept(control.Basis, read, problems) is { } basis)
        {
            control.Use(basis);
            if (Apply(node, control.Plan())) _log.LogInformation("reloaded");
            return;
        }
        foreach (string problem in problems.Lines) _log.LogError("{Problem}", problem);
        _log.LogError("reload refused; what was configured stays in force");
    }

    /// <summary>Pods' own links and routes come and go all the time, and carry no tunnel. What is missing of them is put back by those who made them.</summary>
    private static bool IsOfPods(NetlinkEvent each) => each switch
    {
        LinkEvent link => link.Link.Name.StartsWith(Attachment.InterfacePrefix, StringComparison.Ordinal),
        RouteEvent route => route.Route.Protocol == PodWiring.RouteProtocol,
        _ => false,
    };

    private void WorkerDied(Exception cause) => _events.Add(new Event(EventKind.WorkerDied, cause));

    private void Reload(Node node)
    {
        if (_control is { } control)
        {
            ReloadBasis(node, control);
            return;
        }
        var problems = new ConfigurationProblems(file);
        NodePlan before = node.Plan;
        if (PlanFile.Read(file, node.Snapshot.Revision + 1, before, problems) is { } read && ReloadCheck.Accept(before, read, problems) is { } plan)
        {
            try
            {
                node.Apply(plan);
                _log.LogInformation(
                    "reloaded: revision {Revision}, {Peers} peers, {Routes} routes",
                    plan.State.Revision, plan.State.Peers.Count, plan.State.Routes.Count);
                foreach (string warning in problems.Warnings) _log.LogWarning("{Warning}", warning);
                HostWarnings.Log(plan, _log);
                LogWarnings(plan, before: null);
                return;
            }
            catch (Exception exception) when (exception is LinuxException or StartRefusedException)
            {
                _log.LogError("{Problem}", exception.Message);
            }
        }
        foreach (string problem in problems.Lines) _log.LogError("{Problem}", problem);
        _log.LogError("reload refused; revision {Revision} stays in force", node.Snapshot.Revision);
    }

    private void LogReady(Node node) => _log.LogInformation(
        "ready: {Node} forwards for {Segments} segments, {Peers} peers and {Routes} routes on {Underlay} ({Listens}) by {Egress} ({Reason})",
        node.Plan.Options.Node,
        node.Plan.Segments.Count,
        node.Plan.State.Peers.Count,
        node.Plan.State.Routes.Count,
        string.Join(',', node.Plan.Underlay.Addresses),
        string.Join(',', Listens(node.Plan.Options)),
        StatusReporter.ModeName(node.Underlay.Egress.Mode),
        node.Underlay.Egress.Reason);

    private static IEnumerable<string> Listens(OverlaydOptions options)
    {
        foreach ((Encapsulation encapsulation, int port) in options.Ports)
            yield return string.Create(CultureInfo.InvariantCulture, $"{EncapsulationNames.Of(encapsulation)} {port}");
        if (options.UsesIpInIp) yield return EncapsulationNames.Of(Encapsulation.IpInIp);
    }

    private PosixSignalRegistration On(PosixSignal signal, EventKind kind) => PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        _events.Add(new Event(kind));
    });
}
