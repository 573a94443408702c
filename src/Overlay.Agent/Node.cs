using System.Net;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Forwarding;
using Overlay.Agent.Paths;
using Overlay.Agent.Health;
using Overlay.Agent.Planning;
using Overlay.Agent.Setup;
using Overlay.Agent.Status;
using Overlay.Control.Compilation;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Observation;
using Overlay.Linux;
using Overlay.Linux.Netlink;
using Overlay.Linux.Tap;
using Overlay.Rpc;

namespace Overlay.Agent;

/// <summary>
/// Everything of the daemon that forwards: devices, underlay, workers and what the kernel was told. Started whole or not at all; changed by
/// one thread at a time, read by any.
/// </summary>
internal sealed class Node : IDisposable
{
    private readonly ILogger _log;
    private readonly Rtnetlink _netlink = new();
    private readonly List<TapDevice> _devices = [];
    private readonly Action<Exception> _workerDied;
    private EgressWatch? _egressWatch;
    private readonly HashSet<string> _settingRefusals = [];
    private readonly DeviceWatch _watch;
    private readonly MarkRules _marks;
    private readonly SnapshotSlot _snapshot;
    private PathProber? _paths;
    private volatile UnderlayQueues _underlay;
    private volatile QueueWorker[] _workers = [];
    private volatile NodePlan _plan;

    private Node(NodePlan plan, UnderlayQueues underlay, SelfTest selfTest, Action<Exception> workerDied, ILogger log)
    {
        SelfTest = selfTest;
        _workerDied = workerDied;
        _plan = plan;
        _underlay = underlay;
        _log = log;
        _watch = new DeviceWatch(_netlink, log);
        _marks = new MarkRules(log);
        int queues = underlay.Queues.Count;
        Counters = [.. Enumerable.Range(0, queues).Select(_ => new QueueCounterSet(plan.Segments.Count))];
        Observers = [.. Enumerable.Range(0, queues + 1).Select(_ => new PacketObserver(plan.Options.Capture.Ring))];
        _snapshot = new SnapshotSlot(SnapshotCompiler.Compile(plan.State, queues));
    }

    public NodePlan Plan => _plan;

    /// <summary>Held while plan, devices and counters are exchanged for others; who reads several of them holds it.</summary>
    public Lock Structure { get; } = new();

    public ForwardingSnapshot Snapshot => _snapshot.Current;

    /// <summary>By queue.</summary>
    public IReadOnlyList<QueueCounterSet> Counters { get; private set; }

    /// <summary>By queue, and last that of what probes the paths; the same as long as the daemon runs.</summary>
    public IReadOnlyList<PacketObserver> Observers { get; }

    public UnderlayQueues Underlay => _underlay;

    /// <summary>
    /// The MTU in force in a segment is another one than before: that of its device, which now has it, and of pods' interfaces behind it, which
    /// are to get it. Raised by the thread that applies a plan.
    /// </summary>
    public event Action<SegmentPlan>? MtuChanged;

    /// <summary>By segment index.</summary>
    public IReadOnlyList<TapDevice> Devices => _devices;

    /// <summary>What was tried before anything was set up.</summary>
    public SelfTest SelfTest { get; }

    /// <summary>What somebody did to devices and routes that could not be mended.</summary>
    public IEnumerable<DeviceTrouble> Troubles => _watch.Troubles;

    /// <summary>True while every worker runs.</summary>
    public bool IsForwarding => _workers is [_, ..] workers && Array.TrueForAll(workers, worker => worker.IsRunning);

    /// <summary>Sets everything up and forwards. What was set up is taken back if any step fails.</summary>
    /// <param name="plan">What to set up.</param>
    /// <param name="workerDied">Called by a worker's thread that ends on an error.</param>
    /// <param name="log">For what the kernel refuses and the daemon works around.</param>
    public static Node Start(NodePlan plan, Action<Exception> workerDied, ILogger log)
    {
        SelfTest selfTest = SelfTest.Run(plan);
        foreach (SelfTestResult failed in selfTest.Results.Where(each => each.Passed == false)) log.LogWarning("self-test of {What} failed: {Outcome}", failed.Name, failed.Outcome);
        var node = new Node(plan, UnderlayQueues.Open(plan, selfTest.Udp), selfTest, workerDied, log);
        try
        {
            LimitPaths(node.Snapshot, plan);
            foreach (SegmentPlan segment in plan.Segments) node._devices.Add(node.Open(segment));
            PathWarmUp.Run(plan.Segments.Select(segment => segment.Tunnel).Distinct());
            node.StartWorkers();
            using var undo = new UndoStack(log);
            node.Configure(plan, undo);
            undo.Commit();
            node.LogRefusals();
            return node;
        }
        catch
        {
            node.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Puts another plan in force that differs only in what can change while workers run. Routes that both have are not touched. Throws, with
    /// the plan before in force again, if the kernel refuses part of it.
    /// </summary>
    public void Apply(NodePlan plan)
    {
        if (!HasSameDevices(plan))
        {
            Rebuild(plan);
            return;
        }
        ForwardingSnapshot before = _snapshot.Current;
        using var undo = new UndoStack(_log);
        undo.Push(() =>
        {
            LimitPaths(before, _plan);
            _snapshot.Current = before;
        });
        ForwardingSnapshot after = SnapshotCompiler.Compile(plan.State, _underlay.Queues.Count, before);
        LimitPaths(after, plan);
        // Workers know a route before the kernel sends packets its way.
        _snapshot.Current = after;
        Configure(plan, undo);
        undo.Commit();
        NodePlan previous = _plan;
        _plan = plan;
        foreach (PacketObserver observer in Observers) observer.RingCapacity = plan.Options.Capture.Ring;
        _paths!.Changed(plan);
        foreach (SegmentPlan segment in plan.Segments.Where(segment => previous.Segments.Any(each => each.Device == segment.Device && each.Mtu != segment.Mtu)))
            MtuChanged?.Invoke(segment);
    }

    /// <summary>
    /// Puts a plan of other segments or underlay addresses in force: devices come and go, and the workers are started anew, between two
    /// batches. What both plans have keeps its device and its counters.
    /// </summary>
    private void Rebuild(NodePlan plan)
    {
        // Whatever the kernel refuses of a device is refused before anything is touched.
        var added = new List<TapDevice>();
        try
        {
            foreach (SegmentPlan segment in plan.Segments.Where(segment => !_plan.Segments.Any(other => IsSame(segment, other)))) added.Add(Open(segment));
        }
        catch
        {
            added.ForEach(device => device.Dispose());
            throw;
        }
        try
        {
            lock (Structure)
            {
                if (!plan.Underlay.Addresses.SequenceEqual(_plan.Underlay.Addresses)) Rebind(plan, added);
                Exchange(plan, added);
            }
        }
        catch (Exception exception) when (exception is LinuxException or StartRefusedException)
        {
            // Without workers nothing is forwarded, which ends the daemon as a dead worker does.
            if (!IsForwarding) _workerDied(exception);
            throw;
        }
        using var undo = new UndoStack(_log);
        Configure(plan, undo);
        undo.Commit();
    }

    /// <summary>Opens the sockets anew for other addresses of this node.</summary>
    /// <exception cref="StartRefusedException">It cannot be; all is as it was.</exception>
    private void Rebind(NodePlan plan, List<TapDevice> added)
    {
        StopWorkers();
        _underlay.Dispose();
        try
        {
            _underlay = UnderlayQueues.Open(plan, SelfTest.Udp);
        }
        catch (Exception exception) when (exception is LinuxException or StartRefusedException)
        {
            added.ForEach(device => device.Dispose());
            _underlay = UnderlayQueues.Open(_plan, SelfTest.Udp);
            StartWorkers();
            throw;
        }
    }

    private void Exchange(NodePlan plan, List<TapDevice> added)
    {
        StopWorkers();
        NodePlan before = _plan;
        TapDevice[] known = [.. _devices];
        TapDevice[] kept = [.. plan.Segments.Select(segment => KeptIndex(before, segment) is var at and >= 0 ? known[at] : added.First(device => device.Name == segment.Device))];
        foreach (TapDevice gone in known.Except(kept)) gone.Dispose();
        _devices.Clear();
        _devices.AddRange(kept);
        Counters = [.. Counters.Select(queue => queue.Rearranged([.. plan.Segments.Select(segment => KeptIndex(before, segment))]))];
        _snapshot.Current = SnapshotCompiler.Compile(plan.State, _underlay.Queues.Count, _snapshot.Current);
        _plan = plan;
        LimitPaths(Snapshot, plan);
        StartWorkers();
    }

    private bool HasSameDevices(NodePlan plan) =>
        plan.Underlay.Addresses.SequenceEqual(_plan.Underlay.Addresses)
        && plan.Segments.Count == _plan.Segments.Count
        && plan.Segments.Zip(_plan.Segments).All(pair => IsSame(pair.First, pair.Second));

    /// <summary>Name, VNI and encapsulation are the snapshot's business: they change without a gap.</summary>
    private static bool IsSame(SegmentPlan one, SegmentPlan other) => one.Device == other.Device;

    /// <returns>-1: it has a device of its own only now.</returns>
    private static int KeptIndex(NodePlan before, SegmentPlan segment)
    {
        for (int i = 0; i < before.Segments.Count; i++)
        {
            if (IsSame(segment, before.Segments[i])) return i;
        }
        return -1;
    }

    /// <summary>Has senders told of packets that the host's ways to peers do not carry, and leaves all else as it is.</summary>
    /// <param name="measured">The plan in force, with other ways.</param>
    public void TakeWays(NodePlan measured)
    {
        LimitPaths(Snapshot, measured);
        _plan = measured;
        _paths!.Changed(measured);
    }

    /// <summary>Listens for changes of the host, which are to be handed to <see cref="HostChanged"/>.</summary>
    public HostEvents Watch(Action announce, Action<Exception> died) => new(_netlink, announce, died);

    /// <summary>Follows what changed on the host's links, addresses and routes.</summary>
    public void HostChanged(IReadOnlyList<NetlinkEvent> events)
    {
        if (events.Count == 0) return;
        // A device that was set up again, or lost an address or a route, is looked at at once rather than at the next interval. Of the routes of
        // an interface that goes down, the kernel tells nothing.
        foreach (SegmentPlan segment in _plan.Segments) _watch.Verify(segment);
        if (events.Any(each => each is EventsLost or LinkEvent) || ConcernRoutes(events)) _watch.VerifyRoutes(_plan);
    }

    /// <summary>One of ours was taken, or one of others came or went in its place: of a route that is replaced the kernel only tells by what.</summary>
    private bool ConcernRoutes(IReadOnlyList<NetlinkEvent> events)
    {
        Route[] changed = [.. events.OfType<RouteEvent>().Select(each => each.Route)];
        if (changed.Length == 0 || Array.Exists(changed, route => route.Protocol == KernelRoutes.Protocol)) return changed.Length > 0;
        HashSet<IPNetwork> destinations = [.. changed.Select(route => route.Destination)];
        return _plan.Segments.Any(segment => segment.Prefixes.Concat(segment.Local).Concat(segment.Direct.Select(each => each.Prefix)).Any(destinations.Contains));
    }

    /// <summary>Puts back what somebody took from the devices.</summary>
    public void VerifyDevices()
    {
        foreach (SegmentPlan segment in _plan.Segments) _watch.Verify(segment);
        _marks.Verify();
        foreach (Segment segment in Snapshot.Segments) segment.Bridge?.Sweep();
    }

    public void Dispose()
    {
        StopWorkers();
        ReleasePorts();
        _marks.Dispose();
        _devices.ForEach(device => device.Dispose());
        _underlay.Dispose();
        new KernelRoutes(_netlink).Release(_plan);
        _netlink.Dispose();
    }

    /// <summary>Has workers use the other way while injected super-packets do not get through.</summary>
    private void VerifyEgress(CancellationToken stop)
    {
        if (!_underlay.VerifyInjectors(stop)) return;
        EgressChoice choice = _underlay.Egress;
        foreach (QueueWorker worker in _workers) worker.Use(choice);
        _log.LogWarning("super-packets now leave by {Egress}: {Reason}", StatusReporter.ModeName(choice.Mode), choice.Reason);
    }

    /// <summary>Takes devices that stay out of their bridges; the others go with their descriptors.</summary>
    private void ReleasePorts()
    {
        foreach (SegmentPlan segment in _plan.Segments.Where(segment => segment is { Persistent: true, Bridge: not null }))
        {
            if (_netlink.FindLink(segment.Device) is { Master: not 0 } link) _netlink.SetMaster(link.Index, 0);
        }
    }

    private static void LimitPaths(ForwardingSnapshot snapshot, NodePlan plan)
    {
        foreach (Peer peer in snapshot.Peers.All)
        {
            peer.Path.LinkMtu = plan.MtuTo(peer.Name);
            peer.Path.LeadsBack = plan.LeadsBack(peer.Name);
        }
    }

    private TapDevice Open(SegmentPlan segment) => TapDevice.Open(new TapOptions
    {
        Name = segment.Device,
        Queues = _underlay.Queues.Count,
        Persistent = segment.Persistent,
        Offloads = SelfTest.Tap,
    });

    private void StopWorkers()
    {
        _egressWatch?.Dispose();
        _egressWatch = null;
        QueueWorker[] workers = _workers;
        _workers = [];
        foreach (QueueWorker worker in workers) worker.Stop();
        foreach (QueueWorker worker in workers) worker.Dispose();
        _paths?.Dispose();
        _paths = null;
    }

    private void StartWorkers()
    {
        _paths = new PathProber(_snapshot, _plan, _underlay, Observers[^1], _log, _workerDied);
        var workers = new List<QueueWorker>();
        for (int queue = 0; queue < _underlay.Queues.Count; queue++)
        {
            int index = queue;
            TapQueue[] devices = [.. _devices.Select(device => device.Queues[index])];
            workers.Add(new QueueWorker(index, _plan, devices, _underlay, _snapshot, Counters[index], _paths.Inboxes[index], Observers[index], _workerDied));
        }
        _workers = [.. workers];
        workers.ForEach(worker => worker.Start());
        if (_underlay.Injects) _egressWatch = new EgressWatch(VerifyEgress, _workerDied);
        _paths.Start();
    }

    /// <summary>Gives the devices and the kernel's routes what a plan says: first what routes need, last what no route needs any more.</summary>
    private void Configure(NodePlan plan, UndoStack undo)
    {
        var configurator = new DeviceConfigurator(_netlink, undo);
        var states = new List<(DeviceState From, DeviceState To)>();
        foreach (SegmentPlan segment in plan.Segments)
        {
            if (configurator.Prepare(segment.Device, segment.Mac) is { } refusal) _settingRefusals.Add(refusal);
            DeviceState now = configurator.Read(segment.Device);
            states.Add((now, configurator.Wanted(segment, now.InterfaceIndex)));
            configurator.Grow(now, states[^1].To);
        }
        _marks.Apply(plan.Segments, undo);
        new KernelRoutes(_netlink).Apply(plan, undo);
        foreach ((DeviceState from, DeviceState to) in states) configurator.Shrink(from, to);
    }

    private void LogRefusals()
    {
        foreach (string refusal in _devices.SelectMany(device => device.Refusals).Concat(_underlay.Refusals).Concat(_settingRefusals))
            _log.LogWarning("the kernel refused an offload or setting, worked around: {Refusal}", refusal);
    }
}
