using System.Diagnostics.Metrics;
using Overlay.Rpc.Telemetry;

namespace Overlay.Rpc.Tests.Telemetry;

public sealed class PrometheusExporterTests : IDisposable
{
    private readonly Meter _meter = new("Overlay.Test");
    private readonly PrometheusExporter _exporter;

    public PrometheusExporterTests() => _exporter = new PrometheusExporter(instrument => instrument.Meter == _meter);

    public void Dispose()
    {
        _exporter.Dispose();
        _meter.Dispose();
    }

    [Fact]
    public void Scrape_ObservableCounter_HasItsUnitTotalAndEscapedLabels()
    {
        _meter.CreateObservableCounter(
            "some.bytes", () => new Measurement<long>(7, new KeyValuePair<string, object?>("peer.name", "a\"b\\c\nd")), "By", "Back\\slash.");

        Assert.Equal("# HELP some_bytes_total Back\\\\slash.\n# TYPE some_bytes_total counter\nsome_bytes_total{peer_name=\"a\\\"b\\\\c\\nd\"} 7\n", _exporter.Scrape());
    }

    [Fact]
    public void Scrape_Gauge_ForgetsWhatIsMeasuredNoMore()
    {
        string[] peers = ["a", "b"];
        _meter.CreateObservableGauge("age", () => peers.Select(peer => new Measurement<double>(0.5, new KeyValuePair<string, object?>("peer", peer))), "s", "Age.");

        Assert.Contains("age_seconds{peer=\"a\"} 0.5\nage_seconds{peer=\"b\"} 0.5\n", _exporter.Scrape(), StringComparison.Ordinal);
        peers = ["b"];
        Assert.DoesNotContain("peer=\"a\"", _exporter.Scrape(), StringComparison.Ordinal);
    }

    [Fact]
    public void Scrape_Histogram_IsCumulative()
    {
        var histogram = new LatencyHistogram(_meter, "call.duration", "method", "Time.");
        histogram.Record(TimeSpan.FromMilliseconds(1), "ADD", 0);
        histogram.Record(TimeSpan.FromSeconds(2), "ADD", 0);
        histogram.Record(TimeSpan.FromMinutes(2), "ADD", 0);

        string text = _exporter.Scrape();

        Assert.Contains("call_duration_seconds_bucket{method=\"ADD\",code=\"0\",le=\"0.001\"} 1\n", text, StringComparison.Ordinal);
        Assert.Contains("call_duration_seconds_bucket{method=\"ADD\",code=\"0\",le=\"2.5\"} 2\n", text, StringComparison.Ordinal);
        Assert.Contains("call_duration_seconds_bucket{method=\"ADD\",code=\"0\",le=\"60\"} 2\n", text, StringComparison.Ordinal);
        Assert.Contains("call_duration_seconds_bucket{method=\"ADD\",code=\"0\",le=\"+Inf\"} 3\ncall_duration_seconds_sum{method=\"ADD\",code=\"0\"} 122.001\ncall_duration_seconds_count{method=\"ADD\",code=\"0\"} 3\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Scrape_ManyTags_AreBounded()
    {
        Counter<int> counter = _meter.CreateCounter<int>("calls");
        for (int i = 0; i < 5000; i++) counter.Add(1, new KeyValuePair<string, object?>("id", i));

        string[] lines = _exporter.Scrape().Split('\n');

        Assert.True(lines.Length < 600, $"{lines.Length} lines");
        Assert.Equal(5000, lines.Where(line => line.StartsWith("calls_total", StringComparison.Ordinal)).Sum(line => int.Parse(line.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture)));
    }

    [Fact]
    public void Scrape_CounterThatIsNotObservable_AddsUp()
    {
        Counter<long> counter = _meter.CreateCounter<long>("calls.total", "{call}");
        counter.Add(3);
        _exporter.Scrape();
        counter.Add(4);

        Assert.EndsWith("calls_total 7\n", _exporter.Scrape(), StringComparison.Ordinal);
    }
}
