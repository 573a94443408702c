using System.Diagnostics.Metrics;
using System.Globalization;
using Overlay.Rpc.Telemetry;

namespace Overlay.Rpc.Tests.Telemetry;

public sealed class ProcessMetricsTests
{
    /// <summary>Three times what other tests, which run meanwhile, open or close.</summary>
    private const int Opened = 300;

    [Fact]
    public void OpenFds_ThreeHundredMore_AreCounted()
    {
        using var meter = new Meter(nameof(ProcessMetricsTests));
        using var exporter = new PrometheusExporter(instrument => instrument.Meter == meter);
        ProcessMetrics.AddTo(meter, "1");
        double before = OpenFds(exporter);
        FileStream[] files = [.. Enumerable.Range(0, Opened).Select(_ => File.OpenRead("/dev/null"))];
        double during = OpenFds(exporter);
        foreach (FileStream file in files) file.Dispose();
        Assert.InRange(during - before, Opened - 100, Opened + 100);
        Assert.InRange(before, 3, double.MaxValue);
    }

    private static double OpenFds(PrometheusExporter exporter) => double.Parse(
        Assert.Single(exporter.Scrape().Split('\n'), line => line.StartsWith("process_open_fds ", StringComparison.Ordinal)).Split(' ')[1], CultureInfo.InvariantCulture);
}
