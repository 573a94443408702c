using System.Diagnostics.Metrics;
using System.Text;

namespace Overlay.Rpc.Telemetry;

/// <summary>
/// Writes what instruments measure in Prometheus' text format 0.0.4. Observable instruments are asked at each scrape; the others are summed
/// up as they measure. Used by any thread.
/// </summary>
public sealed class PrometheusExporter : IDisposable
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly MeterListener _listener = new();
    private readonly List<MetricFamily> _families = [];
    private readonly Lock _lock = new();

    /// <param name="exports">Which instruments.</param>
    public PrometheusExporter(Func<Instrument, bool> exports)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (!exports(instrument)) return;
            var family = new MetricFamily(instrument);
            lock (_lock) _families.Add(family);
            listener.EnableMeasurementEvents(instrument, family);
        };
        _listener.MeasurementsCompleted = (_, state) =>
        {
            lock (_lock) _families.Remove((MetricFamily)state!);
        };
        _listener.SetMeasurementEventCallback<int>((_, value, tags, state) => Take(value, tags, state));
        _listener.SetMeasurementEventCallback<long>((_, value, tags, state) => Take(value, tags, state));
        _listener.SetMeasurementEventCallback<double>((_, value, tags, state) => Take(value, tags, state));
        _listener.Start();
    }

    /// <summary>Measures now.</summary>
    public string Scrape()
    {
        var text = new StringBuilder();
        lock (_lock)
        {
            foreach (MetricFamily family in _families) family.Begin();
            _listener.RecordObservableInstruments();
            foreach (MetricFamily family in _families.OrderBy(each => each.Name, StringComparer.Ordinal)) family.Write(text);
        }
        return text.ToString();
    }

    public void Dispose() => _listener.Dispose();

    private void Take(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state)
    {
        lock (_lock) ((MetricFamily)state!).Take(value, tags);
    }
}
