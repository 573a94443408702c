using System.Diagnostics.Metrics;

namespace Overlay.Rpc.Telemetry;

/// <summary>Times of calls, by what was called and how it ended, from a millisecond to a minute.</summary>
public sealed class LatencyHistogram
{
    private readonly Histogram<double> _histogram;
    private readonly string _what;

    /// <param name="meter">Owns the instrument.</param>
    /// <param name="name">Of the instrument; its unit is the second.</param>
    /// <param name="what">Tag that names what was called: of few values.</param>
    /// <param name="description">One sentence.</param>
    public LatencyHistogram(Meter meter, string name, string what, string description)
    {
        _what = what;
        _histogram = meter.CreateHistogram(
            name, "s", description, tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] });
    }

    /// <param name="code">How it ended; 0 stands for success.</param>
    public void Record(TimeSpan time, string called, int code) =>
        _histogram.Record(time.TotalSeconds, new KeyValuePair<string, object?>(_what, called), new KeyValuePair<string, object?>("code", code));
}
