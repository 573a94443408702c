using Microsoft.Extensions.Logging;
using OpenTelemetry.Metrics;
using Overlay.Agent.Capture;
using Overlay.Agent.Configuration;
using Overlay.Agent.Control;
using Overlay.Agent.Health;
using Overlay.Agent.Metrics;
using Overlay.Agent.Pods;
using Overlay.Agent.Status;
using Overlay.Rpc.Hosting;
using Overlay.Rpc.Telemetry;

namespace Overlay.Agent;

/// <summary>All that lets others see what a node does: its health, metrics and captures. To be disposed before the node.</summary>
internal sealed class NodeObservation : IDisposable
{
    private readonly Node _node;
    private readonly ControlAgent? _control;
    private readonly HealthReporter _health;
    private readonly CaptureHub _captures;
    private readonly AlarmCaptures _alarms;
    private readonly NodeMetrics _metrics;
    private readonly PrometheusExporter _exporter = new(NodeMetrics.IsExported);
    private readonly MeterProvider? _otlp;
    private readonly IDisposable _serving;

    /// <param name="monitoring">Answers with what is seen here.</param>
    public NodeObservation(Node node, ControlAgent? control, Monitoring monitoring, ILogger log)
    {
        OverlaydOptions options = node.Plan.Options;
        (_node, _control) = (node, control);
        _health = new HealthReporter(node, control);
        _captures = new CaptureHub(node);
        _alarms = new AlarmCaptures(_health, _captures, options.Capture.Alarms?.Value, log);
        _metrics = new NodeMetrics(node, control, _health, _captures, options.Metrics.PeerLimit);
        _otlp = options.Metrics.Otlp is { } collector ? OtlpExport.Start(collector, options.Node, StatusReporter.Version, options.Metrics.PeerLimit) : null;
        _serving = monitoring.Serve(_exporter, _health.Report);
    }

    /// <summary>Sees whoever wires pods from now on, and makes what the local API answers.</summary>
    public StatusReporter Report(PodWorker? pods)
    {
        _health.Pods = pods;
        _metrics.Use(pods);
        return new StatusReporter(_node, _health, _captures, _control, pods);
    }

    /// <summary>Looks at the node; called every five seconds.</summary>
    public void Look()
    {
        _health.Look();
        _alarms.Look();
    }

    public void Dispose()
    {
        _captures.EndAll();
        _serving.Dispose();
        _otlp?.Dispose();
        _exporter.Dispose();
        _metrics.Dispose();
    }
}
