using System.Diagnostics.Metrics;
using Overlay.Csi.Pools;
using Overlay.Csi.State;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Telemetry;

namespace Overlay.Csi;

/// <summary>The driver's metrics: times of its calls, volumes, and room in its pools.</summary>
internal sealed class CsiMetrics : IDisposable
{
    private readonly Meter _meter = new("Overlay.Csi", IdentityService.Version);
    private readonly LatencyHistogram _calls;
    private readonly PrometheusExporter _exporter;

    public CsiMetrics(VolumeStore store, PoolSet pools)
    {
        ProcessMetrics.AddTo(_meter, IdentityService.Version);
        _calls = new LatencyHistogram(_meter, "overlay.csi.duration", "method", "Time of CSI calls; code 0 is success, others are those of gRPC.");
        _meter.CreateObservableGauge("overlay.csi.volumes", () => store.All.Count(), null, "Volumes that are known.");
        _meter.CreateObservableGauge(
            "overlay.csi.pool_available",
            () => pools.All.Select(pool => new Measurement<long>(pool.TryAvailable(store.Images, out _), new KeyValuePair<string, object?>("pool", pool.Name))),
            "By", "Bytes that a pool has left.");
        _exporter = new PrometheusExporter(instrument => instrument.Meter == _meter || ProcessMetrics.IsOfRuntime(instrument));
    }

    /// <summary>In Prometheus' text format.</summary>
    public string Scrape() => _exporter.Scrape();

    /// <summary>A call ended.</summary>
    /// <param name="path">Service and method.</param>
    public void Completed(string path, GrpcStatusCode status, TimeSpan time) => _calls.Record(time, path[(path.LastIndexOf('/') + 1)..], (int)status);

    public void Dispose()
    {
        _exporter.Dispose();
        _meter.Dispose();
    }
}
