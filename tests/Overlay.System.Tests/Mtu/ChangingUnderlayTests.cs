using System.Text.Json;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Mtu;

/// <summary>The underlay's MTU falls and rises under a stream of which every byte is compared.</summary>
public sealed class FollowingDeviceTests(DaemonPair<UdpGso> pair) : ChangingUnderlayTests(pair.Network, pair.DaemonA, pair.DaemonB), IClassFixture<DaemonPair<UdpGso>>
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public Task Tcp_UnderlayLoweredAndRaised_DeviceFollowsAndStreamGoesOn(bool ipv4) => CheckAsync(ipv4, usual: 1450);

    [Fact]
    public Task Iperf_UnderlayLoweredAndRaisedWhileItRuns_NoSecondStandsStill() => CheckIperfAsync();
}

/// <summary>The same where the device's MTU is configured: it is lessened while it does not fit, and no reload is refused for it.</summary>
public sealed class LessenedDeviceTests(DaemonPair<FixedMtu> pair)
    : ChangingUnderlayTests(pair.Network, pair.DaemonA, pair.DaemonB), IClassFixture<DaemonPair<FixedMtu>>
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public Task Tcp_UnderlayLoweredAndRaised_DeviceFollowsWithAWarningAndStreamGoesOn(bool ipv4) => CheckAsync(ipv4, usual: 1440);

    [Fact]
    public async Task Reload_WhileTheMtuDoesNotFit_IsTakenAndTheStatusSaysWhy()
    {
        await UnderlayMtu.SetAsync(1400, pair.DaemonA);
        await pair.DaemonA.ReloadAsync(DaemonConfiguration.For(pair.A, [pair.B], FixedMtu.Tunnel with { TunnelLines = ["mssClamp: 1200"] }));

        StatusDocument lessened = await pair.DaemonA.StatusAsync();
        Assert.DoesNotContain("reload refused", pair.DaemonA.Log, StringComparison.Ordinal);
        Assert.Equal(1350, lessened.Segments[0].Mtu);
        Assert.Equal(
            "mtu 1440 of segment 'pods' does not fit: the way to peer 'node-b' by 'underlay0' carries 1400 bytes, and vxlan takes 50 of them, which leaves 1350 inside; "
            + "device 'overlay0' has MTU 1350 until it fits again", lessened.Segments[0].MtuWarning);
        Assert.Contains("mtu 1440 of segment 'pods' does not fit", pair.DaemonA.Log, StringComparison.Ordinal);

        await UnderlayMtu.SetAsync(1500, pair.DaemonA);
        SegmentStatus usual = (await pair.DaemonA.StatusAsync()).Segments[0];
        Assert.Equal((1440, null), (usual.Mtu, usual.MtuWarning));
    }
}

/// <summary>What both have in common.</summary>
public abstract class ChangingUnderlayTests
{
    private const int Lowered = 1350;

    private readonly LabNetwork _network;
    private readonly OverlayDaemon _near;
    private readonly OverlayDaemon _far;

    private protected ChangingUnderlayTests(LabNetwork network, OverlayDaemon near, OverlayDaemon far)
    {
        _network = network;
        _near = near;
        _far = far;
    }

    /// <param name="ipv4">Family inside.</param>
    /// <param name="usual">The device's MTU while the underlay's is 1500.</param>
    private protected async Task CheckAsync(bool ipv4, int usual)
    {
        using var stop = new CancellationTokenSource();
        Task stream = TcpCheck.RunAsync(_network.A.Pod, _network.B.Pod, ipv4 ? _network.B.Pod4 : _network.B.Pod6, stop.Token);
        try
        {
            await RunningStream.FlowAsync(stream, _near, _far);
            await UnderlayMtu.SetAsync(1400, _near, _far);
            Assert.Equal(Lowered, await DeviceMtuAsync(_network.A));
            Assert.Equal(Lowered, await DeviceMtuAsync(_network.B));
            await RunningStream.FlowAsync(stream, _near, _far);
            await UnderlayMtu.SetAsync(1500, _near, _far);
            Assert.Equal(usual, await DeviceMtuAsync(_network.A));
            Assert.Equal(usual, await DeviceMtuAsync(_network.B));
            await RunningStream.FlowAsync(stream, _near, _far);
        }
        finally
        {
            await stop.CancelAsync();
        }
        await stream;
    }

    /// <summary>The same under iperf3, which must move something in every second.</summary>
    private protected async Task CheckIperfAsync()
    {
        IReadOnlyList<double> rates = await Iperf.TcpAsync(_network.A.Pod, _network.B.Pod, _network.B.Pod4, async () =>
        {
            foreach (int mtu in (int[])[1400, 1500])
            {
                await UnderlayMtu.SetAsync(mtu, _near, _far);
                await RunningStream.FlowAsync(Task.Delay(Timeout.Infinite), _near, _far);
            }
        });
        Assert.NotEmpty(rates);
        Assert.All(rates, rate => Assert.NotEqual(0, rate));
    }

    private static async Task<int> DeviceMtuAsync(LabNode node)
    {
        using JsonDocument links = JsonDocument.Parse(await node.Host.CheckAsync("ip", "-json", "link", "show", "overlay0"));
        return links.RootElement[0].GetProperty("mtu").GetInt32();
    }
}
