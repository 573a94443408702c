using System.Diagnostics.Metrics;
using System.Globalization;
using System.Reflection;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Rpc;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Telemetry;

namespace Overlay.Controller;

/// <summary>The instruments of a controller. Nearly all are read from what it knows when somebody asks.</summary>
internal sealed class ControllerMetrics : IDisposable
{
    private const string MeterName = "Overlay.Controller";
    private const double SecondsADay = 86_400;

    private static readonly string Version =
        typeof(ControllerMetrics).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    private readonly Meter _meter = new(MeterName, Version);
    private readonly LatencyHistogram _requests;

    public ControllerMetrics(StateCache cache, ControllerHealth health, StreamLimits streams)
    {
        ProcessMetrics.AddTo(_meter, Version);
        _requests = new LatencyHistogram(_meter, "overlay.controller.request.duration", "method", "Time of requests but those of watches; code 0 is success, others are those of gRPC.");
        _meter.CreateObservableGauge("overlay.controller.ready", () => health.Report().Ready ? 1 : 0, null, "1 while nodes are served and the store is followed.");
        _meter.CreateObservableGauge("overlay.controller.findings", () =>
        {
            HealthDocument report = health.Report();
            return HealthSeverity.All.Select(severity => new Measurement<int>(
                report.Findings.Count(finding => finding.Severity == severity), new KeyValuePair<string, object?>("severity", severity)));
        }, null, "What is wrong with the controller and its state.");
        _meter.CreateObservableGauge("overlay.controller.revision", () => cache.Revision, null, "Revision of the state.");
        _meter.CreateObservableGauge("overlay.controller.watches", () => streams.Open, null, "Watches of nodes that are open.");
        _meter.CreateObservableGauge("overlay.controller.networks", () => cache.Networks.Count, null, "Networks.");
        _meter.CreateObservableGauge("overlay.controller.nodes", () => Nodes(cache.Nodes), null, "Nodes: that are heard of, that are lost, that are drained.");
        _meter.CreateObservableGauge("overlay.controller.certificate.lifetime", () => health.CertificateSeconds, "s", "Until the controller's certificate expires.");
        _meter.CreateObservableGauge("overlay.controller.pool.blocks", () => health.Pools.SelectMany(pool => new[]
        {
            Blocks(pool, "leased", pool.Leased), Blocks(pool, "free", pool.Free), Blocks(pool, "excluded", pool.Excluded),
        }), null, "Blocks of the pools.");
        _meter.CreateObservableGauge(
            "overlay.controller.pool.exhaustion",
            () => health.Pools.Select(pool => new Measurement<double>(pool.Free == "0" ? 0 : pool.DaysLeft < 0 ? double.PositiveInfinity : pool.DaysLeft * SecondsADay, Tags(pool))),
            "s", "Until no block of a pool is left at the pace of the last seven days; infinite while they do not become fewer.");
    }

    /// <summary>True for what is exported of this process.</summary>
    public static bool IsExported(Instrument instrument) => instrument.Meter.Name == MeterName || ProcessMetrics.IsOfRuntime(instrument);

    /// <summary>A call ended.</summary>
    public void Count(string path, GrpcStatusCode status, TimeSpan time)
    {
        string method = path[(path.LastIndexOf('/') + 1)..];
        if (method != "Watch") _requests.Record(time, method, (int)status);
    }

    public void Dispose() => _meter.Dispose();

    private static Measurement<int>[] Nodes(IReadOnlyList<NodeDocument> nodes)
    {
        int lost = nodes.Count(node => node.LostSince is not null);
        int drained = nodes.Count(node => node.LostSince is null && node.Draining);
        return [State(nodes.Count - lost - drained, "alive"), State(lost, "lost"), State(drained, "draining")];

        static Measurement<int> State(int count, string state) => new(count, new KeyValuePair<string, object?>("state", state));
    }

    private static Measurement<double> Blocks(PoolUsage pool, string state, string count) =>
        new(double.Parse(count, CultureInfo.InvariantCulture), [.. Tags(pool), new KeyValuePair<string, object?>("state", state)]);

    private static KeyValuePair<string, object?>[] Tags(PoolUsage pool) => [new("network", pool.Network), new("pool", pool.Prefix)];
}
