using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests;

/// <summary>Start, reload and end, and what peers do meanwhile.</summary>
public sealed class LifecycleTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);
    private static readonly TunnelOptions Tunnel = new();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task FirstPacket_RightAfterStart_IsNotLost(bool ipv6)
    {
        await using LabNetwork network = await StartAsync(new LabOptions());

        PingResult first = await Ping.RunAsync(network.A.Pod, ipv6 ? network.B.Pod6 : network.B.Pod4);

        Assert.True(first.Received == 1, first.Transcript);
    }

    [Fact]
    public async Task ThreeNodes_EachToEach_FirstPingAndTcpArrive()
    {
        await using LabNetwork network = await StartAsync(new LabOptions { Nodes = 3 });

        foreach ((LabNode from, LabNode to) in Pairs(network))
        {
            PingResult ipv4 = await Ping.RunAsync(from.Pod, to.Pod4);
            PingResult ipv6 = await Ping.RunAsync(from.Pod, to.Pod6);
            Assert.True(ipv4.Received == 1, ipv4.Transcript);
            Assert.True(ipv6.Received == 1, ipv6.Transcript);
        }
        await Task.WhenAll(Pairs(network).Select(pair =>
            TcpCheck.RunAsync(pair.From.Pod, pair.To.Pod, pair.To.Pod4, streams: 1, bytes: 16 << 20)));
    }

    [Fact]
    public async Task Reload_UnderTraffic_LosesNothing()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Nodes = 3 });
        await network.StartDaemonAsync(network.B, Tunnel);
        DaemonConfiguration whole = DaemonConfiguration.For(network.A, [network.B, network.Nodes[2]], Tunnel);
        DaemonConfiguration part = DaemonConfiguration.For(network.A, [network.B], Tunnel);
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, whole);
        await using CountedDatagrams forth = await CountedDatagrams.StartAsync(network.A.Pod, network.B.Pod, network.B.Pod4);
        await using CountedDatagrams back = await CountedDatagrams.StartAsync(network.B.Pod, network.A.Pod, network.A.Pod6);

        for (int round = 0; round < 5; round++)
        {
            await daemon.ReloadAsync(part);
            await Task.WhenAll(forth.PassAsync(50, Deadline), back.PassAsync(50, Deadline));
            await daemon.ReloadAsync(whole);
            await Task.WhenAll(forth.PassAsync(50, Deadline), back.PassAsync(50, Deadline));
        }
        StatusDocument status = await daemon.StatusAsync();
        (int sent, IReadOnlyList<int> lost) = await forth.StopAsync();
        (int sentBack, IReadOnlyList<int> lostBack) = await back.StopAsync();

        Assert.True(status.Revision >= 11, $"revision {status.Revision}");
        Assert.True(sent >= 500 && sentBack >= 500, $"{sent} and {sentBack} datagrams");
        Assert.Empty(lost);
        Assert.Empty(lostBack);
    }

    [Fact]
    public async Task Reload_AddsAPeer_ItIsReachable()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Nodes = 3 });
        LabNode third = network.Nodes[2];
        await network.StartDaemonAsync(third, Tunnel);
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, DaemonConfiguration.For(network.A, [network.B], Tunnel));

        PingResult before = await Ping.RunAsync(network.A.Host, third.Pod4);
        await daemon.ReloadAsync(DaemonConfiguration.For(network.A, [network.B, third], Tunnel));
        PingResult after = await Ping.RunAsync(network.A.Pod, third.Pod4);

        Assert.Equal(0, before.Received);
        Assert.True(after.Received == 1, after.Transcript);
    }

    [Fact]
    public async Task Reload_Refused_KeepsTheOldUnderTraffic()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        await network.StartDaemonAsync(network.B, Tunnel);
        DaemonConfiguration good = DaemonConfiguration.For(network.A, [network.B], Tunnel);
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, good);
        await using CountedDatagrams stream = await CountedDatagrams.StartAsync(network.A.Pod, network.B.Pod, network.B.Pod4);

        await daemon.ReloadAsync(good with { Routes = [("10.244.2.0/33", network.B.Name)] });
        await stream.PassAsync(100, Deadline);
        StatusDocument status = await daemon.StatusAsync();
        (_, IReadOnlyList<int> lost) = await stream.StopAsync();

        Assert.Contains("10.244.2.0/33", daemon.Log, StringComparison.Ordinal);
        Assert.Equal(1, status.Revision);
        Assert.Empty(lost);
    }

    [Fact]
    public async Task Peer_GoneAndBack_TrafficResumesAtOnce()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        OverlayDaemon ours = await network.StartDaemonAsync(network.A, Tunnel);
        OverlayDaemon peer = await network.StartDaemonAsync(network.B, Tunnel);
        PingResult before = await Ping.RunAsync(network.A.Pod, network.B.Pod4);

        int exitCode = await peer.StopAsync();
        PingResult gone = await Ping.FloodAsync(network.A.Pod, network.B.Pod4, count: 20);
        await network.StartDaemonAsync(network.B, Tunnel);
        PingResult back = await Ping.RunAsync(network.A.Pod, network.B.Pod4);
        StatusDocument status = await ours.StatusAsync();

        Assert.True(before.Received == 1, before.Transcript);
        Assert.Equal(0, exitCode);
        Assert.Equal(0, gone.Received);
        Assert.True(back.Received == 1, back.Transcript);
        Assert.True(status.Ready);
    }

    [Fact]
    public async Task Underlay_DownAndUp_TrafficResumes()
    {
        await using LabNetwork network = await StartAsync(new LabOptions());
        await using CountedDatagrams stream = await CountedDatagrams.StartAsync(network.A.Pod, network.B.Pod, network.B.Pod4);
        await stream.PassAsync(20, Deadline);

        await network.A.Host.IpAsync($"link set {LabNode.UnderlayDevice} down");
        PingResult down = await Ping.FloodAsync(network.A.Pod, network.B.Pod4, count: 5);
        await network.A.Host.IpAsync($"link set {LabNode.UnderlayDevice} up");
        await stream.PassAsync(100, Deadline);

        Assert.Equal(0, down.Received);
    }

    private static async Task<LabNetwork> StartAsync(LabOptions options)
    {
        LabNetwork network = await LabNetwork.CreateAsync(options);
        try
        {
            foreach (LabNode node in network.Nodes) await network.StartDaemonAsync(node, Tunnel);
            return network;
        }
        catch
        {
            await network.DisposeAsync();
            throw;
        }
    }

    private static IEnumerable<(LabNode From, LabNode To)> Pairs(LabNetwork network) =>
        from a in network.Nodes from b in network.Nodes where a != b select (a, b);
}
