using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net.Sockets;
using Overlay.Agent.Capture;
using Overlay.Agent.Control;
using Overlay.Agent.Health;
using Overlay.Agent.Pods;
using Overlay.Agent.Status;
using Overlay.Control.Ipam;
using Overlay.Rpc;
using Overlay.Rpc.Telemetry;

namespace Overlay.Agent.Metrics;

/// <summary>The instruments of a node. Nearly all are read from what the daemon knows when somebody asks.</summary>
internal sealed class NodeMetrics : IDisposable
{
    public const string MeterName = "Overlay.Agent";

    private static readonly TimeSpan SampleInterval = TimeSpan.FromMinutes(1);

    private readonly Meter _meter = new(MeterName, StatusReporter.Version);
    private readonly Node _node;
    private readonly ControlAgent? _control;
    private readonly LatencyHistogram? _calls;
    private volatile PodWorker? _pods;
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly Dictionary<(string Network, AddressFamily Family), AddressForecast> _forecasts = [];
    private readonly Timer _sampling;
    private long _revision;
    private long _revised = Stopwatch.GetTimestamp();

    /// <param name="health">Judges the node.</param>
    /// <param name="captures">Those of the node.</param>
    /// <param name="peerLimit">Most peers with series of their own.</param>
    public NodeMetrics(Node node, ControlAgent? control, HealthReporter health, CaptureHub captures, int peerLimit)
    {
        (_node, _control) = (node, control);
        _revision = node.Snapshot.Revision;
        ProcessMetrics.AddTo(_meter, StatusReporter.Version);
        _ = new TrafficMetrics(_meter, node, peerLimit);
        AddConfiguration();
        AddAddresses();
        AddHealth(health);
        _meter.CreateObservableGauge("overlay.captures", () => captures.Count, null, "Captures that run.");
        _meter.CreateObservableCounter("overlay.capture.lost", () => captures.Lost, "{packet}", "Packets that captures wanted and that found no room: their readers were too slow.");
        if (node.Plan.Options.Pods is not null)
        {
            _calls = new LatencyHistogram(_meter, "overlay.cni.duration", "command", "Time of CNI calls; code 0 is success, others are those of CNI.");
            _meter.CreateObservableGauge("overlay.pods", () => _pods?.Attachments.Count ?? 0, null, "Interfaces of pods that are wired or being wired.");
        }
        _sampling = new Timer(_ => Sample(), null, TimeSpan.Zero, SampleInterval);
    }

    /// <summary>True for what is exported of this process.</summary>
    public static bool IsExported(Instrument instrument) => instrument.Meter.Name == MeterName || ProcessMetrics.IsOfRuntime(instrument);

    /// <summary>Measures whoever wires pods, from its first call on; null: nobody.</summary>
    public void Use(PodWorker? pods)
    {
        _pods = pods;
        if (pods is not null) pods.Answered = (command, code, time) => _calls?.Record(time, command, code);
    }

    public void Dispose()
    {
        _sampling.Dispose();
        _meter.Dispose();
    }

    private void AddConfiguration()
    {
        _meter.CreateObservableGauge("overlay.configuration.revision", () => _node.Snapshot.Revision, null, "Revision of what is in force.");
        _meter.CreateObservableGauge("overlay.configuration.age", ConfigurationAge, "s", "Since another revision came into force, or the daemon started.");
        if (_control is not { } control) return;
        _meter.CreateObservableGauge("overlay.control.connected", () => control.Report().Controller is null ? 0 : 1, null, "1 while a controller answers.");
        _meter.CreateObservableGauge("overlay.control.revision", () => control.Report().Revision, null, "Revision of the state that the controllers told.");
        _meter.CreateObservableGauge("overlay.control.revision_age", () => control.RevisionAge.TotalSeconds, "s", "Since that state changed last, or the daemon started.");
        _meter.CreateObservableGauge("overlay.control.silence", () => control.Silence.TotalSeconds, "s", "Since a controller was heard last.");
        _meter.CreateObservableGauge("overlay.control.problems", () => control.Report().Problems.Count, null, "What keeps the node from its controllers, or from more blocks.");
    }

    private double ConfigurationAge()
    {
        long revision = _node.Snapshot.Revision;
        if (revision != _revision) (_revision, _revised) = (revision, Stopwatch.GetTimestamp());
        return Stopwatch.GetElapsedTime(_revised).TotalSeconds;
    }

    private void AddAddresses()
    {
        if (_control is null && _node.Plan.Options.Pods is null) return;
        _meter.CreateObservableGauge("overlay.ipam.addresses", () => Use().SelectMany(use => new[]
        {
            Address(use.InUse, use.Key, "used"),
            Address(use.Size - use.InUse, use.Key, "free"),
        }), null, "Addresses of this node's blocks.");
        _meter.CreateObservableGauge("overlay.ipam.blocks", () => Use().Select(use => Address(use.Blocks, use.Key)), null, "Blocks of addresses that this node has.");
        _meter.CreateObservableGauge(
            "overlay.ipam.exhaustion",
            () => Use().Select(use => new Measurement<double>(SecondsLeft(use), Tags(use.Key))),
            "s", "Until no address is left at the pace of the last hour; infinite while they do not become fewer.");
    }

    private void AddHealth(HealthReporter health)
    {
        _meter.CreateObservableGauge("overlay.ready", () => health.Report().Ready ? 1 : 0, null, "1 while packets are forwarded and nothing is in the way.");
        _meter.CreateObservableGauge("overlay.health.findings", () =>
        {
            HealthDocument report = health.Report();
            return HealthSeverity.All.Select(severity => new Measurement<int>(
                report.Findings.Count(finding => finding.Severity == severity), new KeyValuePair<string, object?>("severity", severity)));
        }, null, "What is wrong with the node, as 'overlay health' tells it.");
    }

    private List<AddressUse> Use()
    {
        IEnumerable<NodeAllocator.BlockUse> blocks = [.. _pods?.Blocks ?? [], .. _control?.Allocator.BlocksInUse ?? []];
        return
        [
            .. blocks.DistinctBy(block => block.Prefix).GroupBy(block => (block.Network, block.Prefix.BaseAddress.AddressFamily))
                .Select(group => new AddressUse(group.Key, group.Sum(block => (long)block.InUse), group.Sum(block => (long)block.Size), group.Count())),
        ];
    }

    private void Sample()
    {
        foreach (AddressUse use in Use()) Forecast(use.Key).Add(Stopwatch.GetElapsedTime(_start), use.InUse);
    }

    private double SecondsLeft(AddressUse use) => Forecast(use.Key).SecondsLeft(Stopwatch.GetElapsedTime(_start), use.InUse, use.Size - use.InUse);

    private AddressForecast Forecast((string Network, AddressFamily Family) key)
    {
        lock (_forecasts)
        {
            if (!_forecasts.TryGetValue(key, out AddressForecast? forecast)) _forecasts.Add(key, forecast = new AddressForecast());
            return forecast;
        }
    }

    private static Measurement<long> Address(long value, (string Network, AddressFamily Family) key, string? state = null) =>
        new(value, state is null ? Tags(key) : [.. Tags(key), new KeyValuePair<string, object?>("state", state)]);

    private static KeyValuePair<string, object?>[] Tags((string Network, AddressFamily Family) key) =>
        [new("network", key.Network), new("family", key.Family == AddressFamily.InterNetwork ? "ipv4" : "ipv6")];

    private readonly record struct AddressUse((string Network, AddressFamily Family) Key, long InUse, long Size, int Blocks);
}
