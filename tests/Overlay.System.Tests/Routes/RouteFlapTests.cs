using System.Diagnostics;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Routes;

/// <summary>Routes come and go under a stream of which every byte is compared.</summary>
public sealed class RouteFlapTests(DaemonPair<UdpGso> pair) : IClassFixture<DaemonPair<UdpGso>>
{
    private const int Flaps = 4;
    private const long SomePackets = 500;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    /// <summary>The daemon's own route is taken by another program, and put back each time.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public Task Tcp_OverlayRouteFlaps_StreamGoesOn(bool ipv4) => CheckAsync(ipv4, () => pair.A.Host.IpAsync($"route del {(ipv4 ? pair.B.PodPrefix4 : pair.B.PodPrefix6)}"));

    /// <summary>The underlay loses its way to the peer, and gets it again.</summary>
    [Fact]
    public Task Tcp_UnderlayRouteFlaps_StreamGoesOn() => CheckAsync(ipv4: true, async () =>
    {
        await pair.A.Host.IpAsync("route del 192.0.2.0/24 dev underlay0");
        await pair.A.Host.IpAsync($"route add 192.0.2.0/24 dev underlay0 proto kernel scope link src {pair.A.Underlay4}");
    });

    private async Task CheckAsync(bool ipv4, Func<Task> flap)
    {
        using var stop = new CancellationTokenSource();
        Task stream = TcpCheck.RunAsync(pair.A.Pod, pair.B.Pod, ipv4 ? pair.B.Pod4 : pair.B.Pod6, stop.Token);
        try
        {
            for (int i = 0; i < Flaps; i++)
            {
                await FlowAsync(stream);
                await flap();
            }
            await FlowAsync(stream);
        }
        finally
        {
            await stop.CancelAsync();
        }
        await stream;
    }

    private async Task FlowAsync(Task stream)
    {
        var waited = Stopwatch.StartNew();
        long before = await ArrivedAsync();
        while (await ArrivedAsync() - before < SomePackets)
        {
            if (stream.IsCompleted) await stream;
            if (waited.Elapsed > Deadline) throw new TimeoutException($"the stream stands still: {pair.DaemonA.Log}");
        }
    }

    private async Task<long> ArrivedAsync() => (await pair.DaemonB.StatusAsync()).Queues.Sum(queue => queue.IngressOut.Packets);
}
