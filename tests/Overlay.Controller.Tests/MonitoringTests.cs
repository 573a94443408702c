using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using Overlay.Rpc;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Testing;
using static Overlay.Controller.Tests.ControllerLab;

namespace Overlay.Controller.Tests;

/// <summary>What Prometheus and a load balancer get of a controller.</summary>
public sealed partial class MonitoringTests : IDisposable
{
    private readonly int _port = FreePort();
    private readonly HttpClient _http = new();

    public void Dispose() => _http.Dispose();

    [Fact]
    public async Task Metrics_OfAControllerWithNodes_AreValidAndTellOfNodesPoolsAndRequests()
    {
        using var deadline = new CancellationTokenSource(Patience);
        await using ControllerLab lab = await StartNewAsync(more: Monitored);
        await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/24");
        using GrpcChannel channel = lab.OpenNode("a");
        RegisterResponse registered = await RegisterAsync(channel, ControllerLab.Registration("a"));
        for (int i = 0; i < 4; i++) await AcquireAsync(channel, "a", registered);
        await Assert.ThrowsAsync<GrpcException>(() => AcquireAsync(channel, "a", registered));
        await using IAsyncEnumerator<WatchResponse> watch = ControllerLab.Watch(channel, "a", 0, deadline.Token).GetAsyncEnumerator(deadline.Token);
        Assert.True(await watch.MoveNextAsync());

        string text = (await GetAsync(LocalApi.MetricsPath)).Text;

        ProgramRun check = ProgramRun.StartReading(Encoding.UTF8.GetBytes(text), "promtool", "check", "metrics");
        Assert.Equal((0, "", ""), (check.ExitCode, check.Output, check.Errors));
        Assert.Equal(1, Value(text, "overlay_controller_ready"));
        Assert.Equal((1, 0), (Value(text, "overlay_controller_nodes", "state=\"alive\""), Value(text, "overlay_controller_nodes", "state=\"lost\"")));
        Assert.Equal((4, 0), (Value(text, "overlay_controller_pool_blocks", "state=\"leased\""), Value(text, "overlay_controller_pool_blocks", "state=\"free\"")));
        Assert.Equal(0, Value(text, "overlay_controller_pool_exhaustion_seconds", "pool=\"10.244.0.0/24\""));
        Assert.Equal((4, 1), (
            Value(text, "overlay_controller_request_duration_seconds_count", "method=\"AcquireBlock\"", "code=\"0\""),
            Value(text, "overlay_controller_request_duration_seconds_count", "method=\"AcquireBlock\"", "code=\"8\"")));
        Assert.Equal(1, Value(text, "overlay_controller_watches"));
        // The lab's certificate lasts for two hours, and the pool is used up.
        Assert.Equal(2, Value(text, "overlay_controller_findings", "severity=\"degraded\""));
        Assert.InRange(Value(text, "overlay_controller_certificate_lifetime_seconds"), 1, 7200);
        Assert.Equal((HttpStatusCode.OK, "ok\n"), await GetAsync(LocalApi.ReadyPath));
        Assert.Equal(HttpStatusCode.NotFound, (await GetAsync("/v1/status")).Status);
        string[] files = [await File.ReadAllTextAsync(Path.Combine(AppContext.BaseDirectory, "alerts.yaml")), await File.ReadAllTextAsync(Path.Combine(AppContext.BaseDirectory, "dashboard.json"))];
        string[] named = [.. files.SelectMany(file => MetricName().Matches(file)).Select(match => match.Value).Distinct()];
        Assert.Equal(6, named.Length);
        Assert.All(named, name => Assert.Matches($"(?m)^{name}[ {{]", text));
    }

    [Fact]
    public async Task Ready_WhileTheStoreIsAway_SaysWhyAndHeals()
    {
        EtcdMember etcd = (await EtcdMember.StartAsync(1))[0];
        try
        {
            await using ControllerLab lab = await StartNewAsync($"{{ kind: etcd, endpoints: [{etcd.Client.OriginalString}] }}", Monitored);
            Assert.Equal(HttpStatusCode.OK, (await GetAsync(LocalApi.ReadyPath)).Status);
            etcd.Kill();

            string reason = await UntilAsync(LocalApi.ReadyPath, HttpStatusCode.ServiceUnavailable);

            Assert.StartsWith("the store cannot be followed: etcd 127.0.0.1:", reason, StringComparison.Ordinal);
            Assert.Equal(HttpStatusCode.OK, (await GetAsync(LocalApi.HealthPath)).Status);
            etcd.Start();
            await UntilAsync(LocalApi.ReadyPath, HttpStatusCode.OK);
        }
        finally
        {
            etcd.Dispose();
        }
    }

    private string Monitored => string.Create(CultureInfo.InvariantCulture, $"metrics: {{ listen: \"127.0.0.1:{_port}\" }}\nnodes: {{ leaseSeconds: 600 }}");

    private async Task<(HttpStatusCode Status, string Text)> GetAsync(string path)
    {
        using HttpResponseMessage answer = await _http.GetAsync(new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{_port}{path}")));
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    private async Task<string> UntilAsync(string path, HttpStatusCode wanted)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            (HttpStatusCode status, string text) = await GetAsync(path);
            if (status == wanted) return text;
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, $"{path} goes on with {status}: {text}");
            await Task.Delay(50);
        }
    }

    private static double Value(string text, string name, params string[] labels) => double.Parse(
        text.Split('\n').Single(line => line.Split('{', ' ')[0] == name && labels.All(line.Contains)).Split(' ')[^1], CultureInfo.InvariantCulture);

    [GeneratedRegex("\\boverlay_controller_[a-z_]+[a-z]")]
    private static partial Regex MetricName();
}
