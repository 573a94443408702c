using System.Text.Json;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Daemon;

/// <summary>SIGHUP: the whole new configuration, or none of it.</summary>
public sealed class DaemonReloadTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Reload_OtherRoutesAddressesAndMtu_AppliesTheDifferenceOnly()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        RunningProcess daemon = await node.StartAsync();
        using RunningProcess monitor = node.Host.Start(["ip", "monitor", "route"]);
        await ListeningAsync(monitor, node);

        node.Write(LoneNode.Configuration
            .Replace("mac: 02:00:00:00:00:01", "mac: 02:00:00:00:00:01\n    mtu: 1400", StringComparison.Ordinal)
            .Replace("\"fd00:244:1::/128\"", "\"fd00:244:1::9/128\"", StringComparison.Ordinal)
            .Replace("routes:", "routes:\n  - { prefix: 10.244.3.0/24, peer: node-c }", StringComparison.Ordinal));
        await LoneNode.ReloadAsync(daemon, "reloaded: revision 2, 2 peers, 3 routes");

        await node.Host.IpAsync("route add 203.0.113.2 dev underlay0");
        await monitor.WaitForTextAsync("203.0.113.2 dev underlay0", Deadline);
        Assert.Contains("10.244.3.0/24 via 169.254.77.1 dev overlay0", monitor.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("10.244.2.0/24", monitor.Output, StringComparison.Ordinal);
        Assert.Contains("src fd00:244:1::9", await node.Host.CheckAsync("ip", "-6", "route"), StringComparison.Ordinal);
        Assert.DoesNotContain("fd00:244:1::/128", await node.Host.CheckAsync("ip", "address"), StringComparison.Ordinal);
        Assert.Contains("mtu 1400", await node.Host.CheckAsync("ip", "link", "show", "overlay0"), StringComparison.Ordinal);
        JsonElement status = await node.StatusAsync();
        Assert.Equal(2, status.GetProperty("revision").GetInt32());
        Assert.Equal(3, status.GetProperty("routes").GetArrayLength());
    }

    [Fact]
    public async Task Reload_BadConfiguration_KeepsTheOldAndLogsWhy()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        RunningProcess daemon = await node.StartAsync();
        string before = await node.Host.StateAsync();

        node.Write(LoneNode.Configuration.Replace("peer: node-b }", "peer: node-x }", StringComparison.Ordinal));
        await LoneNode.ReloadAsync(daemon, "reload refused; revision 1 stays in force");

        Assert.Contains($"{node.File}:15: route 10.244.2.0/24 names the peer 'node-x'", daemon.Errors, StringComparison.Ordinal);
        Assert.Contains($"{node.File}:16: route fd00:244:2::/64 names the peer 'node-x'", daemon.Errors, StringComparison.Ordinal);
        Assert.Equal(before, await node.Host.StateAsync());
        Assert.Equal(1, (await node.StatusAsync()).GetProperty("revision").GetInt32());
    }

    [Fact]
    public async Task Reload_WhatTakesARestart_IsRefusedSayingSo()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        RunningProcess daemon = await node.StartAsync();

        node.Write(LoneNode.Configuration.Replace("vni: 42", "vni: 43", StringComparison.Ordinal));
        await LoneNode.ReloadAsync(daemon, "reload refused; revision 1 stays in force");

        Assert.Contains("vni of segment 'pods' is 43 and was 42, which takes a restart", daemon.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Reload_KernelRefusesARoute_TakesTheRestBack()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        RunningProcess daemon = await node.StartAsync();
        await node.Host.IpAsync("route add 10.244.3.0/24 dev underlay0");
        string before = await node.Host.StateAsync();

        node.Write(LoneNode.Configuration.Replace(
            "routes:", "routes:\n  - { prefix: 10.244.4.0/24, peer: node-c }\n  - { prefix: 10.244.3.0/24, peer: node-c }", StringComparison.Ordinal));
        await LoneNode.ReloadAsync(daemon, "reload refused; revision 1 stays in force");

        Assert.Contains("the kernel has a route to 10.244.3.0/24 that is not overlayd's", daemon.Errors, StringComparison.Ordinal);
        Assert.Equal(before, await node.Host.StateAsync());
        Assert.Equal(2, (await node.StatusAsync()).GetProperty("routes").GetArrayLength());
    }

    [Fact]
    public async Task Forward_DeviceDeletedByAnother_StopsTheDaemonLoudly()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        RunningProcess daemon = await node.StartAsync();

        await node.Host.IpAsync("link delete overlay0");

        Assert.Equal(1, await LoneNode.EndAsync(daemon));
        Assert.Contains("a worker died, so the daemon ends", daemon.Errors, StringComparison.Ordinal);
    }

    /// <summary>Makes the monitor something to report until it reports it: then it will miss nothing that follows.</summary>
    private static async Task ListeningAsync(RunningProcess monitor, LoneNode node)
    {
        using var expired = new CancellationTokenSource(Deadline);
        Task heard = monitor.WaitForTextAsync("203.0.113.1 dev underlay0", Deadline);
        while (!heard.IsCompleted && !expired.IsCancellationRequested)
            await node.Host.IpAsync("route replace 203.0.113.1 dev underlay0", "route delete 203.0.113.1 dev underlay0");
        await heard;
    }
}
