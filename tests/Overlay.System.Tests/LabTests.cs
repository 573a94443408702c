using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests;

/// <summary>The yardstick itself: kernel VXLAN on both nodes passes, and what is wrong is seen.</summary>
public sealed class LabTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task KernelVxlanOnBothNodes_VerifiedTraffic_Passes(bool wire)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Wire = wire });
        await network.StartKernelVxlanAsync(network.A, TunnelOptions.Flannel);
        await network.StartKernelVxlanAsync(network.B, TunnelOptions.Flannel);
        await using Capture capture = await Capture.StartAsync(network.A, network.B);

        PingResult ping = await Ping.RunAsync(network.A.Pod, network.B.Pod4, size: 65507);
        await TcpCheck.RunAsync(network.A.Pod, network.B.Pod, network.B.Pod6, streams: 2, bytes: 8 << 20);
        await UdpCheck.RunAsync(network.A.Pod, network.B.Pod, network.B.Pod4, [1400], count: 960, segments: 32);
        IReadOnlyList<CapturedDatagram> sent = await capture.StopAsync(TunnelOptions.Flannel.Port);

        Assert.Equal(1, ping.Received);
        Assert.True(sent.Count > (wire ? 1000 : 100), $"{sent.Count} datagrams");
    }
}
