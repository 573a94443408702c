using System.Diagnostics;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Routes;

/// <summary>Pods of nodes on one subnet reach each other without a tunnel, for as long as the nodes are on it.</summary>
public sealed class DirectRouteTests(DaemonPair<CrossSubnet> pair) : IClassFixture<DaemonPair<CrossSubnet>>
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Stream_PeerLeavesAndJoinsTheSubnet_GoesByTheTunnelMeanwhileAndLosesNothing()
    {
        long tunnelled = await SentAsync();
        await using CountedDatagrams stream = await CountedDatagrams.StartAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4);
        await stream.PassAsync(200, Deadline);
        Assert.Equal(tunnelled, await SentAsync());
        Assert.Equal("direct via 192.0.2.2, no tunnel", await WayAsync());

        // The node keeps its address, and the peer is now a route away.
        await pair.A.Host.IpAsync(
            $"route add {pair.B.Underlay4}/32 dev underlay0 proto static", $"address add {pair.A.Underlay4}/32 dev underlay0", $"address del {pair.A.Underlay4}/24 dev underlay0");
        await UntilAsync(async () => await WayAsync() == "tunnel vxlan from overlay0");
        await stream.PassAsync(200, Deadline);
        Assert.InRange(await SentAsync() - tunnelled, 100, long.MaxValue);

        await pair.A.Host.IpAsync(
            $"address add {pair.A.Underlay4}/24 dev underlay0", $"address del {pair.A.Underlay4}/32 dev underlay0", $"route del {pair.B.Underlay4}/32 dev underlay0");
        await UntilAsync(async () => await WayAsync() == "direct via 192.0.2.2, no tunnel");
        tunnelled = (await StatusFigures.AtRestAsync(pair.DaemonA)).Queues.Sum(queue => queue.EgressOut.Packets);
        await stream.PassAsync(200, Deadline);
        Assert.Equal(tunnelled, await SentAsync());

        (int sent, IReadOnlyList<int> lost) = await stream.StopAsync();
        Assert.True(lost.Count == 0, $"lost {lost.Count} of {sent}: {string.Join(' ', lost.Take(10))}");
    }

    [Fact]
    public async Task Tcp_BothWaysDirect_ArrivesUnchangedFromTheRightSource()
    {
        await TcpCheck.RunAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, streams: 1, bytes: 4 << 20);
        // IPv6 is carried inside the tunnel, for the peer's address is IPv4.
        await TcpCheck.RunAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod6, streams: 1, bytes: 4 << 20);
        Assert.Equal([pair.A.Tunnel4], (await TcpCheck.RunAsync(pair.A.Host, pair.B.Pod, pair.B.Pod4, 1, 1 << 20)).Select(source => source.ToString()));
    }

    private async Task<long> SentAsync() => (await pair.DaemonA.StatusAsync()).Queues.Sum(queue => queue.EgressOut.Packets);

    private async Task<string> WayAsync()
    {
        RouteMatch match = Assert.Single((await RouteQuery.AskAsync(pair.DaemonA, pair.B.Pod4)).Matches);
        return $"{match.Way} {match.WayOut}";
    }

    private async Task UntilAsync(Func<Task<bool>> reached)
    {
        var waited = Stopwatch.StartNew();
        while (!await reached())
        {
            if (waited.Elapsed > Deadline) throw new TimeoutException($"not within {Deadline}: {pair.DaemonA.Log}");
        }
    }
}
