using System.Diagnostics;
using System.Globalization;
using Overlay.Agent.Planning;
using Overlay.Agent.Setup;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Observation;
using Overlay.Linux;
using Overlay.Linux.Tap;
using Overlay.Linux.Underlay;
using Overlay.Wire;

namespace Overlay.Agent.Forwarding;

/// <summary>
/// The thread of one queue. It carries both directions to completion, a batch at a time, and allocates nothing while it runs. When both are
/// dry it polls again for a short while if the last work was small, as of a request and its response, and else sleeps until a descriptor
/// is readable.
/// </summary>
internal sealed class QueueWorker : IDisposable
{
    /// <summary>Of a batch that is sent.</summary>
    public const int TrainsPerBatch = 512;

    /// <summary>Of a batch that is sent.</summary>
    public const int SlicesPerBatch = 4096;

    public const int FramesPerBatch = 256;
    private const int SuperPacketsPerBatch = 8;
    public const int ReceivesPerBatch = 64;
    private const int FrameMemoryLength = 768 * 1024;
    private const int SleepMilliseconds = 10_000;

    /// <summary>Packets without a pause beyond which work is bulk: more will have gathered by the time of a wake-up, so that sleep serves it well.</summary>
    private const long SmallWork = 1000;

    /// <summary>How long to look again before sleeping. A thread wakes in about 5 µs, a small request is answered in about 50 µs.</summary>
    private static readonly long SpinTicks = Stopwatch.Frequency / 20_000;

    private readonly TapQueue[] _devices;
    private readonly QueueUnderlay _underlay;
    private readonly SnapshotSlot _snapshot;
    private readonly QueueCounterSet _counters;
    private readonly PacketObserver _observer;
    private readonly Action<Exception> _died;
    private readonly Thread _thread;
    private readonly Poller _poller;
    private readonly EgressPath _egress;
    private readonly FrameBatch _frames = new(new PacketMemory(FrameMemoryLength), headroom: 0, FramesPerBatch, SuperPacketsPerBatch);
    private readonly SendBatch _sends = new(TrainsPerBatch, SlicesPerBatch);
    private readonly GatherBatch _answers = new(FramesPerBatch, FramesPerBatch);
    private readonly IngressPath _ingress;
    private readonly IngressPort[] _ports;
    private readonly ReceiveBatch _receives = new(ReceivesPerBatch);
    private volatile bool _stop;
    private volatile bool _running;

    /// <param name="queue">Index of the queue; names the thread.</param>
    /// <param name="plan">For what does not change while workers run.</param>
    /// <param name="devices">By segment index; not owned.</param>
    /// <param name="underlay">Of all queues; not owned.</param>
    /// <param name="snapshot">Read once a batch.</param>
    /// <param name="counters">Of this queue.</param>
    /// <param name="paths">Gets the path messages that arrive in this queue.</param>
    /// <param name="observer">Is shown the packets of this queue.</param>
    /// <param name="died">Called by the thread when it ends on an error.</param>
    public QueueWorker(
        int queue, NodePlan plan, TapQueue[] devices, UnderlayQueues underlay, SnapshotSlot snapshot, QueueCounterSet counters, PathInbox paths,
        PacketObserver observer, Action<Exception> died)
    {
        _observer = observer;
        _devices = devices;
        _underlay = underlay.Queues[queue];
        _snapshot = snapshot;
        _counters = counters;
        _died = died;
        _egress = new EgressPath(EgressOptionsOf(queue, plan, underlay)) { Observer = observer };
        _ingress = new IngressPath(queue) { PathMessages = paths, Observer = observer };
        _ports = [.. counters.BySegment.Select(each => new IngressPort(ReceivesPerBatch, each))];
        _poller = new Poller([.. devices.Select(device => device.FileDescriptor), .. _underlay.ReceiveDescriptors]);
        _thread = new Thread(Run) { Name = string.Create(CultureInfo.InvariantCulture, $"queue-{queue}"), IsBackground = true };
    }

    /// <summary>What the way out of a queue is told.</summary>
    public static EgressOptions EgressOptionsOf(int queue, NodePlan plan, UnderlayQueues underlay) => new()
    {
        Queue = queue,
        SourcePorts = [.. underlay.Queues[queue].SourcePorts],
        TrafficClass = (byte)(plan.Options.Underlay.TrafficClass.Value ?? 0),
        CopiesDscp = plan.Options.Underlay.TrafficClass.Value is null,
        TimeToLive = plan.Underlay.TimeToLive,
        CopiesTimeToLive = plan.Options.Underlay.Ttl.Value is null,
        TunnelSuperPackets = underlay.Egress.Families,
        LocalV4 = plan.Underlay.AddressV4 is { } v4 ? IpBits.V4(v4) : 0,
        LocalV6 = plan.Underlay.AddressV6 is { } v6 ? IpBits.V6OrMapped(v6) : 0,
    };

    public bool IsRunning => _running;

    /// <summary>Puts another way for super-packets in force.</summary>
    public void Use(EgressChoice choice) => _egress.TunnelSuperPackets = choice.Families;

    public void Start()
    {
        _running = true;
        _thread.Start();
    }

    /// <summary>Tells the thread to end; <see cref="Dispose"/> waits for it.</summary>
    public void Stop()
    {
        _stop = true;
        _poller.Wake();
    }

    /// <summary>Waits for the thread, which <see cref="Stop"/> told to end. It finishes its batch.</summary>
    public void Dispose()
    {
        if (_thread.ThreadState.HasFlag(System.Threading.ThreadState.Unstarted) || _thread.Join(TimeSpan.FromSeconds(10))) _poller.Dispose();
        else throw new TimeoutException($"the worker {_thread.Name} did not end within 10 s");
    }

    private void Run()
    {
        try
        {
            Forward();
        }
        catch (Exception exception)
        {
            // Whatever it is: the daemon must not go on without one of its workers.
            _running = false;
            _died(exception);
            return;
        }
        _running = false;
    }

    private void Forward()
    {
        long work = 0;
        long dryDeadline = 0;
        while (!_stop)
        {
            ForwardingSnapshot snapshot = _snapshot.Current;
            long packets = Egress(snapshot) + Ingress(snapshot);
            if (packets > 0)
            {
                work = dryDeadline == 0 ? work + packets : packets;
                dryDeadline = 0;
                continue;
            }
            if (work is > 0 and < SmallWork)
            {
                long now = Stopwatch.GetTimestamp();
                if (dryDeadline == 0) dryDeadline = now + SpinTicks;
                if (now < dryDeadline)
                {
                    Thread.Yield();
                    continue;
                }
            }
            _poller.Wait(SleepMilliseconds);
            work = 0;
            dryDeadline = 0;
        }
    }

    /// <returns>Packets taken from the devices.</returns>
    private long Egress(ForwardingSnapshot snapshot)
    {
        long packets = 0;
        for (int i = 0; i < _devices.Length; i++)
        {
            _frames.Headroom = snapshot.Segments[i].Headroom;
            if (_devices[i].Read(_frames) == 0) continue;
            QueueCounters counters = _counters.BySegment[i];
            _counters.Batches.EgressBatches++;
            _counters.Batches.EgressFrames += _frames.Count;
            packets -= counters.EgressIn.Packets;
            for (int next = 0; next < _frames.Count;)
            {
                next = _egress.Process(_frames, next, snapshot.Segments[i], _sends, _answers, counters);
                _underlay.Send(_sends);
                _egress.Account(_sends, counters);
                _sends.Clear();
            }
            if (_answers.Count > 0)
            {
                _devices[i].Write(_answers);
                _egress.ShowAnswers(_answers);
                _answers.Clear();
            }
            _frames.Clear();
            packets += counters.EgressIn.Packets;
        }
        return packets;
    }

    /// <returns>Packets received.</returns>
    private long Ingress(ForwardingSnapshot snapshot)
    {
        if (_underlay.Receive(_receives) == 0) return 0;
        _counters.Batches.IngressBatches++;
        _counters.Batches.IngressTrains += _receives.Count;
        long before = Received();
        _ingress.Process(_receives, snapshot, _ports, _counters.Unassigned);
        for (int i = 0; i < _ports.Length; i++)
        {
            if (_ports[i].Frames.Count == 0) continue;
            _devices[i].Write(_ports[i].Frames);
            _observer.Delivered(_ports[i], snapshot.Segments[i], _receives.Memory);
            _ports[i].Account();
        }
        return Received() - before;
    }

    private long Received()
    {
        long packets = _counters.Unassigned.IngressIn.Packets;
        foreach (QueueCounters counters in _counters.BySegment) packets += counters.IngressIn.Packets;
        return packets;
    }
}
