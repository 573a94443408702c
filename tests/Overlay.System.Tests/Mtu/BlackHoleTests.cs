using System.Net.Sockets;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Mtu;

/// <summary>Three hops, the middle one smaller, and no ICMP: what is too big vanishes.</summary>
public sealed class BlackHoleTests(DaemonPair<RoutedPath> pair)
    : BlackHoleChecks(pair.Network, pair.DaemonA, pair.DaemonB), IClassFixture<DaemonPair<RoutedPath>>
{
    [Fact]
    public Task Iperf_MiddleLoweredAndRaisedWhileItRuns_GoesOnAfterEachChange() => CheckIperfAsync();
}

/// <summary>The same with IPv6 outside.</summary>
public sealed class BlackHoleOverIpv6Tests(DaemonPair<RoutedPathIpv6> pair)
    : BlackHoleChecks(pair.Network, pair.DaemonA, pair.DaemonB), IClassFixture<DaemonPair<RoutedPathIpv6>>;

/// <summary>What both have in common.</summary>
public abstract class BlackHoleChecks
{
    private const int Path = 1500;
    private const int SmallerPath = 1400;
    private const int SmallestPath = 1333;
    private static readonly TimeSpan Start = TimeSpan.FromSeconds(1);

    private readonly LabNetwork _network;
    private readonly OverlayDaemon _near;
    private readonly OverlayDaemon _far;

    private protected BlackHoleChecks(LabNetwork network, OverlayDaemon near, OverlayDaemon far)
    {
        _network = network;
        _near = near;
        _far = far;
    }

    [Fact]
    public async Task Path_SmallerWithoutIcmp_IsFoundExactlyAndRaisesTheAlarm()
    {
        await UnderlayMtu.FoundAsync(SmallerPath, _near, _far);

        PathStatus path = (await _near.StatusAsync()).Peers[0].Path;
        Assert.Equal((Path, "probes", true), (path.LinkMtu, path.Evidence, path.BlackHole));
        int alarms = Alarms();
        Assert.NotEqual(0, alarms);
        while ((await _near.StatusAsync()).Peers[0].Path.ProbesSent < path.ProbesSent + 2) Assert.Equal(alarms, Alarms());
        Assert.Equal(alarms, Alarms());
        string peers = await Command.CheckAsync(TimeSpan.FromSeconds(20), null, Repository.Client, "peers", "--socket", _near.Socket);
        Assert.Contains("ALARM: black hole on the way to node-b: packets of more than 1400 bytes are lost", peers, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(AddressFamily.InterNetwork)]
    [InlineData(AddressFamily.InterNetworkV6)]
    public async Task Tcp_BulkOverSmallerPath_StartsWithinASecondAndLosesNothing(AddressFamily family)
    {
        await UnderlayMtu.FoundAsync(SmallerPath, _near, _far);
        long lost = await BulkTransfer.LostAsync(_network);

        using BulkTransfer transfer = await BulkTransfer.ConnectAsync(_network, family);
        await transfer.SendWithinAsync(Start, 1 << 20, _network);

        await BulkTransfer.LostNothingSinceAsync(_network, lost);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Tcp_MiddleLoweredAndRaisedWhileItRuns_StreamGoesOnAndThePathIsFoundEachTime(bool ipv4)
    {
        using var stop = new CancellationTokenSource();
        Task stream = TcpCheck.RunAsync(_network.A.Pod, _network.B.Pod, ipv4 ? _network.B.Pod4 : _network.B.Pod6, stop.Token);
        try
        {
            foreach (int mtu in (int[])[SmallestPath, Path, SmallerPath])
            {
                await UnderlayMtu.SetMiddleAsync(_network, mtu, _near, _far);
                await RunningStream.FlowAsync(stream, _near, _far);
                Assert.Equal(mtu < Path, (await _near.StatusAsync()).Peers[0].Path.BlackHole);
            }
        }
        finally
        {
            await stop.CancelAsync();
        }
        await stream;
    }

    private protected async Task CheckIperfAsync()
    {
        await UnderlayMtu.FoundAsync(SmallerPath, _near, _far);
        IReadOnlyList<double> rates = await Iperf.TcpAsync(_network.A.Pod, _network.B.Pod, _network.B.Pod4, async () =>
        {
            foreach (int mtu in (int[])[SmallestPath, SmallerPath])
            {
                await UnderlayMtu.SetMiddleAsync(_network, mtu, _near, _far);
                await RunningStream.FlowAsync(Task.Delay(Timeout.Infinite), _near, _far);
            }
        });
        // A change is noticed within two seconds, and what was lost is sent again at the latest a second later.
        Assert.InRange(rates.Count(rate => rate == 0), 0, 3);
        Assert.NotEqual(0, rates[^1]);
    }

    private int Alarms() => _near.Log.Split('\n').Count(line => line.Contains("black hole on the way to peer node-b", StringComparison.Ordinal)
        && line.Contains("more than 1400 bytes are lost", StringComparison.Ordinal));
}
