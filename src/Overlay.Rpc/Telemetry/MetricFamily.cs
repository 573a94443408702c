using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace Overlay.Rpc.Telemetry;

/// <summary>The series of one instrument. Guarded by the exporter's lock.</summary>
internal sealed class MetricFamily
{
    /// <summary>Most combinations of tags that are told apart where the code that measures does not bound them; the others share one.</summary>
    private const int MostSeries = 512;

    private const string Overflow = "{otel_metric_overflow=\"true\"}";

    private readonly Dictionary<string, Series> _series = new(StringComparer.Ordinal);
    private readonly Instrument _instrument;
    private readonly bool _isObservable;
    private readonly bool _accumulates;
    private readonly double[]? _bounds;

    /// <param name="instrument">Of which only counters, gauges and histograms of .NET are known.</param>
    public MetricFamily(Instrument instrument)
    {
        Type type = instrument.GetType().GetGenericTypeDefinition();
        _instrument = instrument;
        _isObservable = instrument.IsObservable;
        bool isCounter = type == typeof(Counter<>) || type == typeof(ObservableCounter<>);
        if (type == typeof(Histogram<>)) _bounds = BoundsOf(instrument);
        _accumulates = isCounter || type == typeof(UpDownCounter<>);
        Kind = isCounter ? "counter" : _bounds is null ? "gauge" : "histogram";
        Name = PrometheusNames.Of(instrument, isCounter);
    }

    public string Name { get; }

    private string Kind { get; }

    /// <summary>Forgets what observable instruments measured last: what they do not measure again is gone.</summary>
    public void Begin()
    {
        if (_isObservable) _series.Clear();
    }

    public void Take(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        string labels = PrometheusNames.Labels(tags);
        if (!_series.TryGetValue(labels, out Series? series))
        {
            if (!_isObservable && _series.Count >= MostSeries) labels = Overflow;
            if (!_series.TryGetValue(labels, out series)) _series.Add(labels, series = new Series(_bounds));
        }
        series.Take(value, _bounds, accumulates: _accumulates && !_isObservable);
    }

    public void Write(StringBuilder to)
    {
        if (_series.Count == 0) return;
        to.Append("# HELP ").Append(Name).Append(' ');
        PrometheusNames.AppendEscaped(to, _instrument.Description ?? _instrument.Name, quotes: false);
        to.Append("\n# TYPE ").Append(Name).Append(' ').Append(Kind).Append('\n');
        foreach ((string labels, Series series) in _series.OrderBy(each => each.Key, StringComparer.Ordinal)) series.Write(to, Name, labels, _bounds);
    }

    private static double[] BoundsOf(Instrument instrument) => instrument switch
    {
        Histogram<double> { Advice.HistogramBucketBoundaries: { } given } => [.. given],
        Histogram<long> { Advice.HistogramBucketBoundaries: { } given } => [.. given.Select(bound => (double)bound)],
        _ => [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    };

    private sealed class Series(double[]? bounds)
    {
        private readonly long[]? _counts = bounds is null ? null : new long[bounds.Length + 1];
        private double _value;

        public void Take(double value, double[]? bounds, bool accumulates)
        {
            if (_counts is null)
            {
                _value = accumulates ? _value + value : value;
                return;
            }
            int at = Array.BinarySearch(bounds!, value);
            _counts[at < 0 ? ~at : at]++;
            _value += value;
        }

        public void Write(StringBuilder to, string name, string labels, double[]? bounds)
        {
            if (_counts is null)
            {
                Line(to, name, "", labels, _value);
                return;
            }
            string open = labels.Length == 0 ? "{" : $"{labels[..^1]},";
            long sum = 0;
            for (int i = 0; i < _counts.Length; i++)
            {
                sum += _counts[i];
                Line(to, name, "_bucket", $"{open}le=\"{(i < bounds!.Length ? Number(bounds[i]) : "+Inf")}\"}}", sum);
            }
            Line(to, name, "_sum", labels, _value);
            Line(to, name, "_count", labels, sum);
        }

        private static void Line(StringBuilder to, string name, string suffix, string labels, double value) =>
            to.Append(name).Append(suffix).Append(labels).Append(' ').Append(Number(value)).Append('\n');

        private static string Number(double value) => double.IsPositiveInfinity(value) ? "+Inf"
            : double.IsNegativeInfinity(value) ? "-Inf"
            : value.ToString("R", CultureInfo.InvariantCulture);
    }
}
