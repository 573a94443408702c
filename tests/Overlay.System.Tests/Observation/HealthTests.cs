using System.Net;
using System.Text.Json;
using Overlay.Rpc;
using Overlay.SystemTests.Daemon;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Observation;

/// <summary>A daemon tells what is wrong with its node, and what to do about it.</summary>
public sealed class HealthTests(ObservedPair pair) : IClassFixture<ObservedPair>
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Health_SoundNode_IsHealthyAndReady()
    {
        CommandResult result = await ObservedPair.OverlayAsync(pair.DaemonB, "health");

        Assert.True(result.ExitCode == 0, result.Transcript);
        Assert.StartsWith($"{pair.B.Name}: healthy, ready\n", result.Output, StringComparison.Ordinal);
        Assert.Matches("udp-offloads +passed", result.Output);
        Assert.Matches("checksums +passed", result.Output);
        Assert.Matches("tap-offloads +passed", result.Output);
        Assert.Equal((HttpStatusCode.OK, "ok\n"), await StatusOfAsync("/healthz"));
        Assert.Equal((HttpStatusCode.OK, "ok\n"), await StatusOfAsync("/readyz"));
        Assert.Equal(HttpStatusCode.NotFound, (await pair.GetAsync("/v1/status")).Status);
    }

    [Fact]
    public async Task Health_DeviceSetDown_IsNamedUntilItIsUp()
    {
        await pair.A.Host.IpAsync("link set overlay0 down");
        await Eventually.TrueAsync(async () => (await pair.GetAsync("/readyz")).Status == HttpStatusCode.ServiceUnavailable, Deadline, "not ready");

        CommandResult result = await ObservedPair.OverlayAsync(pair.DaemonA, "health");
        (_, _, string ready) = await pair.GetAsync("/readyz");
        CommandResult json = await ObservedPair.OverlayAsync(pair.DaemonA, "health", "--json");
        await pair.A.Host.IpAsync("link set overlay0 up");

        Assert.True(result.ExitCode == 1 && json.ExitCode == 1, result.Transcript);
        Assert.Contains("failing (device): the device 'overlay0' was set down by somebody", result.Output, StringComparison.Ordinal);
        Assert.Contains("remedy: ", result.Output, StringComparison.Ordinal);
        Assert.Contains("ip link set overlay0 up", ready, StringComparison.Ordinal);
        HealthDocument document = JsonSerializer.Deserialize(json.Output, StatusJson.Default.HealthDocument)!;
        Assert.Equal((HealthSeverity.Failing, true, false), (document.Status, document.Live, document.Ready));
        await Eventually.TrueAsync(async () => (await pair.GetAsync("/readyz")).Status == HttpStatusCode.OK, Deadline, "ready again");
    }

    [Fact]
    public async Task SelfTest_TrainsThatDoNotPass_AreSwitchedOffAndTold()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        // Single datagrams pass, a train that is cut only at its receiver does not.
        await node.Host.CheckAsync(
            "nft", "add table inet broken; add chain inet broken in { type filter hook input priority 0; }; add rule inet broken in iif lo meta l4proto udp meta length > 2000 drop");
        RunningProcess daemon = await node.StartAsync();

        JsonElement status = await node.StatusAsync();
        CommandResult health = await Command.RunAsync(LoneNode.Deadline, null, Repository.Client, "health", "--socket", node.Socket);

        Assert.Contains("self-test of udp-offloads failed", daemon.Errors, StringComparison.Ordinal);
        Assert.Contains(status.GetProperty("underlay").GetProperty("refusals").EnumerateArray(), refusal => refusal.GetString()!.Contains("UDP_SEGMENT is switched off", StringComparison.Ordinal));
        Assert.True(health.ExitCode == 1, health.Transcript);
        Assert.Contains("degraded (self-test): udp-offloads: trains that the kernel cuts (UDP_SEGMENT) do not arrive whole", health.Output, StringComparison.Ordinal);
        await LoneNode.TerminateAsync(daemon);
    }

    [Fact]
    public async Task Metrics_AddressOfNoInterface_IsRefusedWithARemedy()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        node.Write(LoneNode.Configuration + "metrics: { listen: \"203.0.113.9:9479\" }\n");
        RunningProcess daemon = node.Launch();

        Assert.Equal(1, await LoneNode.EndAsync(daemon));
        Assert.Contains("'metrics: listen: 203.0.113.9:9479' cannot be had", daemon.Errors, StringComparison.Ordinal);
    }

    private async Task<(HttpStatusCode Status, string Text)> StatusOfAsync(string path)
    {
        (HttpStatusCode status, _, string text) = await pair.GetAsync(path);
        return (status, text);
    }
}
