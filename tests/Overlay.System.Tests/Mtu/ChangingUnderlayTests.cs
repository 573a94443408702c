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
    public Task Tcp_UnderlayLoweredAndRaised_DeviceFollowsAndStreamGoesOn(bool ipv4) => CheckAsync(ipv4, lowered: 1350);
}

/// <summary>The same where the device's MTU is configured, and packets are cut smaller on their way instead.</summary>
public sealed class StayingDeviceTests(DaemonPair<FixedMtu> pair)
    : ChangingUnderlayTests(pair.Network, pair.DaemonA, pair.DaemonB), IClassFixture<DaemonPair<FixedMtu>>
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public Task Tcp_UnderlayLoweredAndRaised_DeviceStaysAndStreamGoesOn(bool ipv4) => CheckAsync(ipv4, lowered: 1450);
}

/// <summary>What both have in common.</summary>
public abstract class ChangingUnderlayTests
{
    private const int OverlayMtu = 1450;
    private const long SomePackets = 5_000;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

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
    /// <param name="lowered">What the device's MTU is to be while the underlay's is 1400.</param>
    private protected async Task CheckAsync(bool ipv4, int lowered)
    {
        using var stop = new CancellationTokenSource();
        Task stream = TcpCheck.RunAsync(_network.A.Pod, _network.B.Pod, ipv4 ? _network.B.Pod4 : _network.B.Pod6, stop.Token);
        try
        {
            await FlowAsync(stream);
            await UnderlayMtu.SetAsync(1400, _near, _far);
            Assert.Equal(lowered, await DeviceMtuAsync(_network.A));
            Assert.Equal(lowered, await DeviceMtuAsync(_network.B));
            await FlowAsync(stream);
            await UnderlayMtu.SetAsync(1500, _near, _far);
            Assert.Equal(OverlayMtu, await DeviceMtuAsync(_network.A));
            Assert.Equal(OverlayMtu, await DeviceMtuAsync(_network.B));
            await FlowAsync(stream);
        }
        finally
        {
            await stop.CancelAsync();
        }
        await stream;
    }

    /// <summary>Waits until packets have arrived at the far pod's host; a stream that failed is told at once.</summary>
    private async Task FlowAsync(Task stream)
    {
        using var expired = new CancellationTokenSource(Deadline);
        long before = Arrived(await _far.StatusAsync());
        while (Arrived(await _far.StatusAsync()) - before < SomePackets)
        {
            if (stream.IsCompleted) await stream;
            if (expired.IsCancellationRequested) throw new TimeoutException($"the stream stands still: {_near.Log}{_far.Log}");
        }
    }

    private static long Arrived(StatusDocument status) => status.Queues.Sum(queue => queue.IngressOut.Packets);

    private static async Task<int> DeviceMtuAsync(LabNode node)
    {
        using JsonDocument links = JsonDocument.Parse(await node.Host.CheckAsync("ip", "-json", "link", "show", "overlay0"));
        return links.RootElement[0].GetProperty("mtu").GetInt32();
    }
}
