using Microsoft.Extensions.Logging;
using Overlay.Agent.Forwarding;
using Overlay.Agent.Planning;
using Overlay.Agent.Setup;
using Overlay.Agent.Status;
using Overlay.Control.Compilation;
using Overlay.Dataplane.Forwarding;
using Overlay.Linux;
using Overlay.Linux.Netlink;
using Overlay.Linux.Tap;

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
    private readonly List<QueueWorker> _workers = [];
    private EgressWatch? _egressWatch;
    private readonly HashSet<string> _settingRefusals = [];
    private readonly DeviceWatch _watch;
    private readonly SnapshotSlot _snapshot;
    private readonly Action<Exception> _workerDied;
    private UnderlayQueues _underlay;
    private volatile NodePlan _plan;

    private Node(NodePlan plan, UnderlayQueues underlay, Action<Exception> workerDied, ILogger log)
    {
        _workerDied = workerDied;
        _plan = plan;
        _underlay = underlay;
        _log = log;
        _watch = new DeviceWatch(_netlink, log);
        int queues = underlay.Queues.Count;
        Counters = [.. Enumerable.Range(0, queues).Select(_ => new QueueCounterSet(plan.Segments.Count))];
        _snapshot = new SnapshotSlot(SnapshotCompiler.Compile(plan.State, queues));
    }

    public NodePlan Plan => _plan;

    /// <summary>Held while plan, devices and counters are exchanged for others; who reads several of them holds it.</summary>
    public Lock Structure { get; } = new();

    public ForwardingSnapshot Snapshot => _snapshot.Current;

    /// <summary>By queue.</summary>
    public IReadOnlyList<QueueCounterSet> Counters { get; private set; }

    public UnderlayQueues Underlay => _underlay;

    /// <summary>By segment index.</summary>
    public IReadOnlyList<TapDevice> Devices => _devices;

    /// <summary>True while every worker runs.</summary>
    public bool IsForwarding => _workers.Count > 0 && _workers.TrueForAll(worker => worker.IsRunning);

    /// <summary>Sets everything up and forwards. What was set up is taken back if any step fails.</summary>
    /// <param name="plan">What to set up.</param>
    /// <param name="workerDied">Called by a worker's thread that ends on an error.</param>
    /// <param name="log">For what the kernel refuses and the daemon works around.</param>
    public static Node Start(NodePlan plan, Action<Exception> workerDied, ILogger log)
    {
        var node = new Node(plan, UnderlayQueues.Open(plan), workerDied, log);
        try
        {
            node.LimitPaths(plan.Underlay.Mtu);
            foreach (SegmentPlan segment in plan.Segments) node._devices.Add(node.Open(segment));
            PathWarmUp.Run(plan.Segments.Select(segment => segment.Tunnel).Distinct());
            node.StartWorkers();
            using var undo = new UndoStack(log);
            node.ConfigureDevices(plan, undo);
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
        undo.Push(() => _snapshot.Current = before);
        // Workers know a route before the kernel sends packets its way.
        _snapshot.Current = SnapshotCompiler.Compile(plan.State, _underlay.Queues.Count, before);
        ConfigureDevices(plan, undo);
        undo.Commit();
        _plan = plan;
        LimitPaths(plan.Underlay.Mtu);
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
            lock (Structure) Exchange(plan, added);
        }
        catch (Exception exception) when (exception is LinuxException or StartRefusedException)
        {
            // Without workers nothing is forwarded, which ends the daemon as a dead worker does.
            _workerDied(exception);
            throw;
        }
        using var undo = new UndoStack(_log);
        ConfigureDevices(plan, undo);
        undo.Commit();
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
        if (!plan.Underlay.Addresses.SequenceEqual(before.Underlay.Addresses))
        {
            _underlay.Dispose();
            _underlay = UnderlayQueues.Open(plan);
        }
        Counters = [.. Counters.Select(queue => queue.Rearranged([.. plan.Segments.Select(segment => KeptIndex(before, segment))]))];
        _snapshot.Current = SnapshotCompiler.Compile(plan.State, _underlay.Queues.Count, _snapshot.Current);
        _plan = plan;
        LimitPaths(plan.Underlay.Mtu);
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

    /// <summary>MTU of the underlay's interfaces that is in force: most bytes of an outer packet to any peer.</summary>
    public int UnderlayMtu { get; private set; }

    /// <summary>Has senders told of packets that the underlay's interfaces do not carry, whatever the devices' MTUs are.</summary>
    public void LimitPaths(int mtu)
    {
        UnderlayMtu = mtu;
        foreach (Peer peer in _snapshot.Current.Peers.All) peer.Path.Mtu = mtu;
    }

    /// <summary>Listens for changes of the host, which are to be handed to <see cref="HostChanged"/>.</summary>
    public HostEvents Watch(Action announce, Action<Exception> died) => new(_netlink, announce, died);

    /// <summary>Follows what changed on the host's links, addresses and routes.</summary>
    public void HostChanged(IReadOnlyList<NetlinkEvent> events)
    {
        if (events.Count == 0) return;
        // A device that was set up again, or lost an address or a route, is looked at at once rather than at the next interval.
        bool routes = events.Any(each => each is EventsLost or RouteEvent { IsGone: true, Route.Protocol: DeviceState.RouteProtocol });
        foreach (SegmentPlan segment in _plan.Segments) _watch.Verify(segment, routes);
    }

    /// <summary>Puts back what somebody took from the devices.</summary>
    public void VerifyDevices()
    {
        foreach (SegmentPlan segment in _plan.Segments) _watch.Verify(segment, routes: false);
        foreach (Segment segment in Snapshot.Segments) segment.Bridge?.Sweep();
    }

    public void Dispose()
    {
        StopWorkers();
        ReleasePorts();
        _devices.ForEach(device => device.Dispose());
        _underlay.Dispose();
        _netlink.Dispose();
    }

    /// <summary>Has workers use the other way while injected super-packets do not get through.</summary>
    private void VerifyEgress(CancellationToken stop)
    {
        if (!_underlay.VerifyInjectors(stop)) return;
        EgressChoice choice = _underlay.Egress;
        _workers.ForEach(worker => worker.Use(choice));
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

    private TapDevice Open(SegmentPlan segment) => TapDevice.Open(new TapOptions
    {
        Name = segment.Device,
        Queues = _underlay.Queues.Count,
        Persistent = segment.Persistent,
    });

    private void StopWorkers()
    {
        _egressWatch?.Dispose();
        _egressWatch = null;
        _workers.ForEach(worker => worker.Stop());
        _workers.ForEach(worker => worker.Dispose());
        _workers.Clear();
    }

    private void StartWorkers()
    {
        for (int queue = 0; queue < _underlay.Queues.Count; queue++)
        {
            int index = queue;
            TapQueue[] devices = [.. _devices.Select(device => device.Queues[index])];
            _workers.Add(new QueueWorker(index, _plan, devices, _underlay, _snapshot, Counters[index], _workerDied));
        }
        _workers.ForEach(worker => worker.Start());
        if (_underlay.Injects) _egressWatch = new EgressWatch(VerifyEgress, _workerDied);
    }

    private void ConfigureDevices(NodePlan plan, UndoStack undo)
    {
        var configurator = new DeviceConfigurator(_netlink, undo);
        foreach (SegmentPlan segment in plan.Segments)
        {
            if (configurator.Prepare(segment.Device, segment.Mac) is { } refusal) _settingRefusals.Add(refusal);
            DeviceState now = configurator.Read(segment.Device);
            configurator.Apply(now, configurator.Wanted(segment, now.InterfaceIndex));
        }
    }

    private void LogRefusals()
    {
        foreach (string refusal in _devices.SelectMany(device => device.Refusals).Concat(_underlay.Refusals).Concat(_settingRefusals))
            _log.LogWarning("the kernel refused an offload or setting, worked around: {Refusal}", refusal);
    }
}
