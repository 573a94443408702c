using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Daemon;

/// <summary>The daemon as a guest of its host: what it leaves, what it needs, what it refuses.</summary>
public sealed class DaemonTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData("udp-gso")]
    [InlineData("tunnel-gso")]
    public async Task Stop_AfterTraffic_LeavesTheHostAsItWas(string egress)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        var tunnel = new TunnelOptions { Egress = egress };
        await network.StartDaemonAsync(network.B, tunnel);
        string before = await network.A.Host.StateAsync();

        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, tunnel);
        string during = await network.A.Host.StateAsync();
        await TcpCheck.RunAsync(network.A.Pod, network.B.Pod, network.B.Pod4, streams: 1, bytes: 8 << 20);
        int exitCode = await daemon.StopAsync();
        string after = await network.A.Host.StateAsync();

        Assert.Equal(0, exitCode);
        Assert.NotEqual(before, during);
        Assert.Equal(before, after);
        Assert.False(File.Exists(daemon.Socket));
    }

    [Fact]
    public async Task Stop_PersistentDevice_IsTakenUpByTheNext()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        await network.StartDaemonAsync(network.B, new TunnelOptions());
        DaemonConfiguration persistent = DaemonConfiguration.For(network.A, [network.B], new TunnelOptions()) with { Persistent = true };

        OverlayDaemon first = await network.StartDaemonAsync(network.A, persistent);
        await first.StopAsync();
        CommandResult device = await network.A.Host.RunAsync(Deadline, "ip", "link", "show", "overlay0");
        await network.StartDaemonAsync(network.A, persistent);
        PingResult ping = await Ping.RunAsync(network.A.Pod, network.B.Pod4);

        Assert.Equal(0, device.ExitCode);
        Assert.True(ping.Received == 1, ping.Transcript);
    }

    [Fact]
    public async Task Start_WithNetAdminAndNetRawOnly_Forwards()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        await network.StartDaemonAsync(network.B, new TunnelOptions());
        DaemonConfiguration configuration = DaemonConfiguration.For(network.A, [network.B], new TunnelOptions());
        await using OverlayDaemon daemon = await OverlayDaemon.StartAsync(
            network.A.Host, configuration, "setpriv", "--bounding-set=-all,+net_admin,+net_raw", "--inh-caps=-all");

        PingResult ping = await Ping.RunAsync(network.A.Pod, network.B.Pod4);

        Assert.True(ping.Received == 1, ping.Transcript);
    }

    [Fact]
    public async Task Check_ConfigurationInTheReadme_IsAccepted()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        string readme = await File.ReadAllTextAsync(Repository.File("README.md"));
        string example = readme.Split("```yaml\n")[1].Split("```")[0];
        using var files = new ConfigurationFile(example.Replace("interface: eth0", $"interface: {LabNode.UnderlayDevice}", StringComparison.Ordinal));

        CommandResult result = await network.A.Host.RunAsync(Deadline, Repository.Daemon, "check", "--config", files.Path);

        Assert.True(result.ExitCode == 0, result.Transcript);
    }

    [Theory]
    [InlineData("  interface: underlay0", "  interface: missing0", "missing0")]
    [InlineData("egress:", "egres:", "egres")]
    [InlineData("10.244.2.0/24", "10.244.2.1/24", "10.244.2.1/24")]
    [InlineData("address: \"192.0.2.2\"", "address: \"192.0.2.1\"", "192.0.2.1")]
    public async Task Start_BadConfiguration_IsRefusedWithFileLineAndValue(string text, string replacement, string value)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        using var files = new ConfigurationFile(DaemonConfiguration.For(network.A, [network.B], new TunnelOptions()));
        int line = files.Replace(text, replacement);

        CommandResult start = await network.A.Host.RunAsync(Deadline, Repository.Daemon, "--config", files.Path);
        CommandResult check = await network.A.Host.RunAsync(Deadline, Repository.Daemon, "check", "--config", files.Path);

        Assert.Equal(2, start.ExitCode);
        Assert.Equal(2, check.ExitCode);
        Assert.Contains($"{files.Path}:{line}: ", start.Errors, StringComparison.Ordinal);
        Assert.Contains(value, start.Errors, StringComparison.Ordinal);
    }
}
