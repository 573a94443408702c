using System.Globalization;
using System.Text.RegularExpressions;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Observation;

/// <summary>
/// A node whose daemon has segments of every kind, and that drops packets for every reason there is, once, while a capture of what is dropped runs:
/// what its status, its metrics and the file then say.
/// </summary>
public sealed partial class DroppingNode : IAsyncLifetime
{
    private const string Listen = "127.0.0.1:9479";
    private const string Metric = "overlay_dropped_packets_total{";
    private const int SignalInterrupt = 2;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly DirectoryInfo _directory = NetworkNamespace.CreateDirectory();
    private LabNetwork? _network;

    /// <summary>What the daemon counted by reason, by <c>overlay status --json</c>.</summary>
    internal StatusDocument Status { get; private set; } = null!;

    /// <summary>The same of <c>/metrics</c>, asked for later.</summary>
    internal IReadOnlyDictionary<string, long> Metrics { get; private set; } = null!;

    /// <summary>Frames of the capture by the reason in their comment, as tshark reads it.</summary>
    internal IReadOnlyDictionary<string, int> Captured { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        _network = await LabNetwork.CreateAsync(new LabOptions());
        OverlayDaemon daemon = await _network.StartDaemonAsync(
            _network.A, new DaemonConfiguration { Node = _network.A, Tunnel = new TunnelOptions(), Text = DropCases.Configuration(Listen) });
        string file = Path.Combine(_directory.FullName, "dropped.pcapng");
        using RunningProcess capture = RunningProcess.Start(
            Repository.Client, ["capture", "--dropped", "--snaplen", "128", "-w", file, "--socket", daemon.Socket]);
        await Eventually.TrueAsync(async () => (await MetricsAsync()).Contains("\noverlay_captures 1\n", StringComparison.Ordinal), Deadline, "a capture runs");

        await DropCases.BringAboutAsync(_network, reason => WaitForAsync(reason));

        Status = await daemon.StatusAsync();
        string metrics = await MetricsAsync();
        Metrics = metrics.Split('\n').Where(line => line.StartsWith(Metric, StringComparison.Ordinal))
            .GroupBy(line => Reason().Match(line).Groups[1].Value, line => long.Parse(line.Split(' ')[^1], CultureInfo.InvariantCulture))
            .ToDictionary(group => group.Key, group => group.Sum());
        capture.Signal(SignalInterrupt);
        int code = await capture.WaitForExitAsync(Deadline);
        if (code != 0) throw new InvalidOperationException(capture.Transcript);
        Captured = (await Tshark.FieldsAsync(file, "frame.comment", "frame.comment")).Select(frame => ReasonInComment().Match(frame[0][0]).Groups[1].Value)
            .GroupBy(reason => reason).ToDictionary(group => group.Key, group => group.Count());
    }

    public async Task DisposeAsync()
    {
        if (_network is not null) await _network.DisposeAsync();
        _directory.Delete(recursive: true);
    }

    /// <summary>Waits until packets were dropped for a reason.</summary>
    private Task WaitForAsync(string reason) => Eventually.TrueAsync(
        async () => (await MetricsAsync()).Split('\n').Any(line => line.StartsWith(Metric, StringComparison.Ordinal)
            && line.Contains($"\"{reason}\"", StringComparison.Ordinal) && !line.EndsWith(" 0", StringComparison.Ordinal)),
        Deadline, $"a packet is dropped as {reason}");

    private async Task<string> MetricsAsync() => (await MonitoringClient.GetAsync(_network!.A.Host, Listen, "/metrics")).Text;

    [GeneratedRegex("reason=\"([a-z0-9-]+)\"")]
    private static partial Regex Reason();

    [GeneratedRegex("verdict=dropped reason=([a-z0-9-]+) \\(")]
    private static partial Regex ReasonInComment();
}
