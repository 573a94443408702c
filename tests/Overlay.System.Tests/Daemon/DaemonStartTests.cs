using System.Diagnostics;
using System.Text.Json;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Daemon;

/// <summary>What the daemon does to its host at start and at its end, and what keeps it from starting.</summary>
public sealed class DaemonStartTests
{
    private const int KillSignal = 9;

    [Fact]
    public async Task Start_GoodConfiguration_SetsUpDeviceRoutesAndNeighbours()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        await node.StartAsync();

        string link = await node.Host.CheckAsync("ip", "-details", "link", "show", "overlay0");
        Assert.Contains("mtu 1450", link, StringComparison.Ordinal);
        Assert.Contains("02:00:00:00:00:01", link, StringComparison.Ordinal);
        string addresses = await node.Host.CheckAsync("ip", "-oneline", "address", "show", "overlay0");
        Assert.Contains("10.244.1.0/32 scope global", addresses, StringComparison.Ordinal);
        Assert.Contains("fd00:244:1::/128 scope global", addresses, StringComparison.Ordinal);
        Assert.Contains(
            "10.244.2.0/24 via 169.254.77.1 dev overlay0 proto 79 src 10.244.1.0 onlink",
            await node.Host.CheckAsync("ip", "route"), StringComparison.Ordinal);
        Assert.Contains(
            "fd00:244:2::/64 via fe80::4d01 dev overlay0 proto 79 src fd00:244:1::",
            await node.Host.CheckAsync("ip", "-6", "route"), StringComparison.Ordinal);
        string neighbours = await node.Host.CheckAsync("ip", "neighbour", "show", "dev", "overlay0", "nud", "permanent");
        Assert.Equal(2, neighbours.Split("lladdr 02:4d:01:00:00:01").Length - 1);
    }

    [Fact]
    public async Task Status_OfARunningDaemon_TellsWhatIsSetUp()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        await node.StartAsync();

        JsonElement status = await node.StatusAsync();

        Assert.True(status.GetProperty("ready").GetBoolean());
        Assert.Equal("udp-gso", status.GetProperty("underlay").GetProperty("mode").GetString());
        Assert.Equal("192.0.2.1", status.GetProperty("underlay").GetProperty("addresses")[0].GetString());
        Assert.Equal(1450, status.GetProperty("segments")[0].GetProperty("mtu").GetInt32());
        Assert.Equal(2, status.GetProperty("peers").GetArrayLength());
        Assert.Equal("600\n", await node.Host.CheckAsync("stat", "--format=%a", node.Socket));
    }

    [Fact]
    public async Task Terminate_RunningDaemon_LeavesNothing()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        string before = await node.Host.StateAsync();
        RunningProcess daemon = await node.StartAsync();
        Assert.NotEqual(before, await node.Host.StateAsync());

        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));

        Assert.Equal(before, await node.Host.StateAsync());
        Assert.False(File.Exists(node.Socket));
    }

    [Fact]
    public async Task Start_StrictReversePathFilter_InjectsAndLeavesTheHostAsItIs()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        await node.Host.SysctlAsync("net.ipv4.conf.all.rp_filter=1");
        string before = await node.Host.StateAsync();
        node.Write(LoneNode.Configuration.Replace("udp-gso", "tunnel-gso", StringComparison.Ordinal));
        RunningProcess daemon = await node.StartAsync();
        Assert.Equal("tunnel-gso", (await node.StatusAsync()).GetProperty("underlay").GetProperty("mode").GetString());
        Assert.Equal("1", (await node.Host.CheckAsync("sysctl", "-n", "net.ipv4.conf.all.rp_filter")).Trim());

        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));

        Assert.Equal(before, await node.Host.StateAsync());
    }

    [Fact]
    public async Task Start_TunnelGsoDemandedWherePacketFilterForbidsIt_IsRefused()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        await node.Host.CheckAsync("nft", "add table ip filter; add chain ip filter forward { type filter hook forward priority 0; policy drop; }");
        string before = await node.Host.StateAsync();
        node.Write(LoneNode.Configuration.Replace("udp-gso", "tunnel-gso", StringComparison.Ordinal));

        RunningProcess daemon = node.Launch();

        Assert.Equal(1, await LoneNode.EndAsync(daemon));
        Assert.Contains("'tunnel: egress: tunnel-gso' cannot be had: ", daemon.Errors, StringComparison.Ordinal);
        Assert.Contains("forward chain", daemon.Errors, StringComparison.Ordinal);
        Assert.Equal(before, await node.Host.StateAsync());
    }

    [Fact]
    public async Task Run_PacketFilterAddedLater_SuperPacketsTakeTheOtherWay()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        node.Write(LoneNode.Configuration.Replace("udp-gso", "auto", StringComparison.Ordinal));
        RunningProcess daemon = await node.StartAsync();
        await node.Host.CheckAsync("nft", "add table ip filter; add chain ip filter forward { type filter hook forward priority 0; policy drop; }");
        await daemon.WaitForTextAsync("super-packets now leave by udp-gso", LoneNode.Deadline);
        Assert.Equal("udp-gso", (await node.StatusAsync()).GetProperty("underlay").GetProperty("mode").GetString());
        await node.Host.CheckAsync("nft", "flush ruleset");
        await daemon.WaitForTextAsync("super-packets now leave by tunnel-gso", LoneNode.Deadline);
        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));
    }

    [Fact]
    public async Task Run_PacketFilterBlocksInjection_SignalsDoNotWaitForTheProbe()
    {
        const int Reloads = 30;
        await using LoneNode node = await LoneNode.CreateAsync();
        node.Write(LoneNode.Configuration.Replace("udp-gso", "auto", StringComparison.Ordinal));
        RunningProcess daemon = await node.StartAsync();
        await node.Host.CheckAsync("nft", "add table ip filter; add chain ip filter forward { type filter hook forward priority 0; policy drop; }");
        await daemon.WaitForTextAsync("super-packets now leave by udp-gso", LoneNode.Deadline);

        // A probe begins every five seconds and waits for two: of reloads in a row over more than seven seconds, several fall into its wait.
        var slowest = TimeSpan.Zero;
        long started = Stopwatch.GetTimestamp();
        for (int revision = 2; revision < 2 + Reloads || Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(9); revision++)
        {
            long sent = Stopwatch.GetTimestamp();
            await LoneNode.ReloadAsync(daemon, $"reloaded: revision {revision},");
            TimeSpan took = Stopwatch.GetElapsedTime(sent);
            if (took > slowest) slowest = took;
        }

        Assert.True(slowest < TimeSpan.FromSeconds(1.5), $"a reload took {slowest.TotalSeconds:F2} s");
        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));
    }

    [Theory]
    [InlineData("auto", "bind UDP 192.0.2.1:4789: ", "uses port 4789; stop it or choose another port")]
    [InlineData("tunnel-gso", "another overlayd of this host has 'underlay: port: 4789'", "stop it or choose another port")]
    public async Task Start_SecondDaemonOnOnePort_IsRefusedWithThePortAndTheRemedy(string egress, string problem, string remedy)
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        node.Write(LoneNode.Configuration.Replace("udp-gso", "auto", StringComparison.Ordinal));
        RunningProcess first = await node.StartAsync();
        node.Write(LoneNode.Configuration
            .Replace("udp-gso", egress, StringComparison.Ordinal)
            .Replace("SOCKET", node.Socket + ".second", StringComparison.Ordinal)
            .Replace("overlay0", "overlay1", StringComparison.Ordinal));

        RunningProcess second = node.Launch();

        Assert.Equal(1, await LoneNode.EndAsync(second));
        Assert.Contains(problem, second.Errors, StringComparison.Ordinal);
        Assert.Contains(remedy, second.Errors, StringComparison.Ordinal);
        Assert.Equal("tunnel-gso", (await node.StatusAsync()).GetProperty("underlay").GetProperty("mode").GetString());
        Assert.Equal(0, await LoneNode.TerminateAsync(first));
    }

    [Fact]
    public async Task Start_RouteOfAnotherOwnerInTheWay_TakesEverythingBack()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        await node.Host.IpAsync("route add fd00:244:2::/64 dev underlay0", "route add 10.244.2.0/24 dev underlay0");
        string before = await node.Host.StateAsync();

        RunningProcess daemon = node.Launch();

        Assert.Equal(1, await LoneNode.EndAsync(daemon));
        Assert.Contains("the kernel has a route to 10.244.2.0/24 that is not overlayd's", daemon.Errors, StringComparison.Ordinal);
        Assert.Equal(before, await node.Host.StateAsync());
        Assert.False(File.Exists(node.Socket));
    }

    [Theory]
    [InlineData("net_admin", "CAP_NET_ADMIN")]
    [InlineData("net_raw", "CAP_NET_RAW")]
    public async Task Start_CapabilityMissing_IsNamedWithTheRemedy(string dropped, string name)
    {
        await using LoneNode node = await LoneNode.CreateAsync();

        RunningProcess daemon = node.Launch("setpriv", $"--bounding-set=-{dropped}", $"--inh-caps=-{dropped}");

        Assert.Equal(1, await LoneNode.EndAsync(daemon));
        Assert.Contains($"cannot run without {name}; run as root, or grant it", daemon.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_SecondInstance_IsRefusedAndTheFirstStays()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        await node.StartAsync();
        string before = await node.Host.StateAsync();

        RunningProcess second = node.Launch();

        Assert.Equal(1, await LoneNode.EndAsync(second));
        Assert.Contains($"another overlayd listens on {node.Socket}", second.Errors, StringComparison.Ordinal);
        Assert.Equal(before, await node.Host.StateAsync());
        Assert.True((await node.StatusAsync()).GetProperty("ready").GetBoolean());
    }

    [Fact]
    public async Task Start_AfterAKill_ReplacesTheStaleSocket()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        RunningProcess killed = await node.StartAsync();
        killed.Signal(KillSignal);
        await LoneNode.EndAsync(killed);
        Assert.True(File.Exists(node.Socket));

        RunningProcess daemon = await node.StartAsync();

        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));
    }

    [Fact]
    public async Task Start_FileInThePlaceOfTheSocket_IsKept()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        Directory.CreateDirectory(Path.GetDirectoryName(node.Socket)!);
        await File.WriteAllTextAsync(node.Socket, "");

        RunningProcess daemon = node.Launch();

        Assert.Equal(1, await LoneNode.EndAsync(daemon));
        Assert.Contains($"{node.Socket} exists and is no socket", daemon.Errors, StringComparison.Ordinal);
        Assert.True(File.Exists(node.Socket));
    }

    [Fact]
    public async Task Check_GoodConfiguration_ChangesNothing()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        string before = await node.Host.StateAsync();

        CommandResult result = await node.Host.RunAsync(TimeSpan.FromSeconds(20), Repository.Daemon, "check", "--config", node.File);

        Assert.Equal((0, ""), (result.ExitCode, result.Errors));
        Assert.Equal($"{node.File}: good for node node-a: 1 segments, 2 peers, 2 routes\n", result.Output);
        Assert.Equal(before, await node.Host.StateAsync());
    }

    [Fact]
    public async Task Start_PersistentDeviceFromBefore_IsTakenOverAndBroughtUpToDate()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        string persistent = LoneNode.Configuration.Replace("vni: 42", "vni: 42\n    persistent: true", StringComparison.Ordinal);
        node.Write(persistent);
        Assert.Equal(0, await LoneNode.TerminateAsync(await node.StartAsync()));
        string index = await node.Host.CheckAsync("cat", "/sys/class/net/overlay0/ifindex");

        node.Write(persistent.Replace("10.244.2.0/24", "10.244.3.0/24", StringComparison.Ordinal));
        RunningProcess daemon = await node.StartAsync();

        Assert.Equal(index, await node.Host.CheckAsync("cat", "/sys/class/net/overlay0/ifindex"));
        string routes = await node.Host.CheckAsync("ip", "route");
        Assert.Contains("10.244.3.0/24 via", routes, StringComparison.Ordinal);
        Assert.DoesNotContain("10.244.2.0/24", routes, StringComparison.Ordinal);
        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));
        await node.Host.CheckAsync("ip", "link", "show", "overlay0");
    }
}
