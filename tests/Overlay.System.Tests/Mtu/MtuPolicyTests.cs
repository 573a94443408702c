using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;

namespace Overlay.SystemTests.Mtu;

/// <summary>What <c>mssClamp</c> and <c>fragment</c> change, at start and by a reload.</summary>
public sealed class MtuPolicyTests(DaemonPair<RoutedPathNoRepair> pair) : IClassFixture<DaemonPair<RoutedPathNoRepair>>
{
    private const int DeviceMtu = 1450;

    [Fact]
    public async Task Tcp_ClampOffThenFixed_SynsOfferWhatPodsSayThenTheNumber()
    {
        const int ofPods = DeviceMtu - 40;
        Assert.Equal((ofPods, ofPods), await OfferedMss.ReadAsync(pair.A, pair.B, AddressFamily.InterNetwork));

        await ReloadAsync(RoutedPath.Tunnel with { TunnelLines = ["mssClamp: 1000"] });
        try
        {
            Assert.Equal((1000, 1000), await OfferedMss.ReadAsync(pair.A, pair.B, AddressFamily.InterNetwork));
            Assert.Equal((1000, 1000), await OfferedMss.ReadAsync(pair.A, pair.B, AddressFamily.InterNetworkV6));
        }
        finally
        {
            await ReloadAsync(RoutedPathNoRepair.Tunnel);
        }
    }

    [Fact]
    public async Task Udp_FragmentDropTooBig_IsDroppedAndSenderTold()
    {
        await UnderlayMtu.FoundAsync(1400, pair.DaemonA, pair.DaemonB);
        await pair.A.Pod.SysctlAsync("net.ipv4.ip_no_pmtu_disc=1");
        using Socket sender = await pair.A.Pod.OpenAsync(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        await sender.SendToAsync(new byte[DeviceMtu - 28], new IPEndPoint(IPAddress.Parse(pair.B.Pod4), 9));

        await StatusFigures.AtRestAsync(
            pair.DaemonA, status => StatusFigures.Drops(status, "egress-too-big") == 1 && status.Queues.Sum(queue => queue.IcmpErrors) == 1);

        await pair.A.Pod.SysctlAsync("net.ipv4.ip_no_pmtu_disc=0");
        await UnderlayMtu.ForgetPathsAsync(pair.A.Pod);
    }

    private async Task ReloadAsync(TunnelOptions tunnel)
    {
        await pair.DaemonA.ReloadAsync(DaemonConfiguration.For(pair.A, [pair.B], tunnel));
        await pair.DaemonB.ReloadAsync(DaemonConfiguration.For(pair.B, [pair.A], tunnel));
    }
}
