using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Observation;

/// <summary>What Prometheus gets of a daemon, by its own tools.</summary>
public sealed partial class MetricsTests(ObservedPair pair) : IClassFixture<ObservedPair>
{
    [Fact]
    public async Task Metrics_AfterTraffic_AreValidAndAgreeWithTheStatus()
    {
        await Ping.RunAsync(pair.A.Pod, pair.B.Pod4, count: 3);
        await pair.A.Host.IpAsync(
            "neighbour replace 198.51.100.1 lladdr 02:00:00:00:00:63 dev overlay0 nud permanent", "route replace 198.51.100.1/32 dev overlay0");
        await Ping.FloodAsync(pair.A.Host, "198.51.100.1", 25);
        StatusDocument status = await StatusFigures.AtRestAsync(pair.DaemonA, now => StatusFigures.Drops(now, "egress-no-route") >= 25);

        (HttpStatusCode code, string type, string text) = await pair.GetAsync("/metrics");

        Assert.Equal((HttpStatusCode.OK, "text/plain; version=0.0.4; charset=utf-8"), (code, type));
        CommandResult check = await Command.RunAsync(Command.ShortDeadline, text, "promtool", "check", "metrics");
        Assert.True(check.ExitCode == 0 && check.Output.Length == 0 && check.Errors.Length == 0, check.Transcript);
        Assert.Equal(StatusFigures.Drops(status, "egress-no-route"), Value(text, "overlay_dropped_packets_total", "segment=\"pods\"", "reason=\"egress-no-route\""));
        // The host may send something of its own meanwhile.
        StatusDocument after = await pair.DaemonA.StatusAsync();
        Assert.InRange(
            Value(text, "overlay_segment_packets_total", "direction=\"egress\"", "point=\"in\"", "segment=\"pods\""),
            status.Queues.Single(each => each.Segment == "pods").EgressIn.Packets, after.Queues.Single(each => each.Segment == "pods").EgressIn.Packets);
        Assert.InRange(
            Value(text, "overlay_peer_packets_total", $"peer=\"{pair.B.Name}\"", "direction=\"egress\""),
            StatusFigures.Peer(status, pair.B).Egress.Packets, StatusFigures.Peer(after, pair.B).Egress.Packets);
        Assert.Equal(1500, Value(text, "overlay_peer_path_mtu_bytes", $"peer=\"{pair.B.Name}\""));
        foreach (string reason in status.DropReasons.Keys) Assert.True(Value(text, "overlay_dropped_packets_total", "segment=\"pods\"", $"reason=\"{reason}\"") >= 0);
        Assert.True(Value(text, "process_cpu_seconds_total") > 0);
        Assert.True(Value(text, "overlay_queue_socket_limit_bytes", "queue=\"0\"") > 0);
    }

    [Fact]
    public async Task AlertRules_UnitTests_Pass()
    {
        CommandResult result = await Command.RunAsync(Command.ShortDeadline, null, "promtool", "test", "rules", Repository.File("docs/monitoring/alerts.test.yaml"));
        Assert.True(result.ExitCode == 0, result.Transcript);
    }

    [Theory]
    [InlineData("docs/monitoring/alerts.yaml")]
    [InlineData("docs/monitoring/dashboard.json")]
    public async Task Dashboard_EachMetricOfOurs_Exists(string file)
    {
        // Those of nodes with pods, controllers or volumes have tests of their own.
        string[] elsewhere = ["overlay_cni_", "overlay_csi_", "overlay_ipam_", "overlay_control_", "overlay_controller_"];
        string text = "";
        await Eventually.TrueAsync(
            async () => (text = (await pair.GetAsync("/metrics")).Text).Contains("\noverlay_peer_round_trip_seconds{", StringComparison.Ordinal), TimeSpan.FromSeconds(20), "a probe is answered");
        IEnumerable<string> named = MetricName().Matches(await File.ReadAllTextAsync(Repository.File(file))).Select(match => match.Value).Distinct();

        Assert.All(
            named.Where(name => !elsewhere.Any(name.StartsWith)),
            name => Assert.True(text.Contains($"\n{name}{{", StringComparison.Ordinal) || text.Contains($"\n{name} ", StringComparison.Ordinal), name));
    }

    private static double Value(string text, string name, params string[] labels) => double.Parse(
        text.Split('\n').Single(line => line.StartsWith($"{name}{(labels.Length == 0 ? ' ' : '{')}", StringComparison.Ordinal) && labels.All(line.Contains)).Split(' ')[^1],
        CultureInfo.InvariantCulture);

    [GeneratedRegex("\\b(overlay|process)_[a-z_]+[a-z]")]
    private static partial Regex MetricName();
}
