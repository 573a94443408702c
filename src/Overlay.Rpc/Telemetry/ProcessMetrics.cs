using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Overlay.Rpc.Telemetry;

/// <summary>What the process uses, under the names that Prometheus' own clients give, and of the runtime what matters for pauses.</summary>
public static class ProcessMetrics
{
    private const string RuntimeMeter = "System.Runtime";

    private static readonly HashSet<string> RuntimeInstruments =
    [
        "dotnet.gc.collections", "dotnet.gc.pause.time", "dotnet.gc.heap.total_allocated", "dotnet.exceptions",
    ];

    /// <summary>Makes the instruments in a meter.</summary>
    /// <param name="version">Of the program.</param>
    public static void AddTo(Meter meter, string version)
    {
        DateTimeOffset start;
        using (var process = Process.GetCurrentProcess()) start = process.StartTime.ToUniversalTime();
        meter.CreateObservableCounter("process.cpu", () => Environment.CpuUsage.TotalTime.TotalSeconds, "s", "Processor time of the process, user and system.");
        meter.CreateObservableGauge("process.resident_memory", () => Environment.WorkingSet, "By", "Memory of the process that is in use.");
        meter.CreateObservableGauge("process.start_time", () => start.ToUnixTimeMilliseconds() / 1000.0, "s", "When the process started, since 1970.");
        // Not of /proc/self/fd: what is listed there are links, of which each would be looked up twice.
        meter.CreateObservableGauge("process.open_fds", () => Directory.EnumerateFiles("/proc/self/fdinfo").Count(), null, "Descriptors that are open.");
        meter.CreateObservableGauge(
            "overlay.build_info", () => new Measurement<int>(1, new KeyValuePair<string, object?>("version", version)), null, "Always 1; the version is in the label.");
    }

    /// <summary>True for the instruments of the runtime that are exported.</summary>
    public static bool IsOfRuntime(Instrument instrument) => instrument.Meter.Name == RuntimeMeter && RuntimeInstruments.Contains(instrument.Name);
}
