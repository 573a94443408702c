using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests;

public sealed class UdpGsoWireFormatTests(DaemonPair<UdpGso> pair)
    : WireFormatTests<UdpGso>(pair), IClassFixture<DaemonPair<UdpGso>>;

public sealed class TunnelGsoWireFormatTests(DaemonPair<TunnelGso> pair)
    : WireFormatTests<TunnelGso>(pair), IClassFixture<DaemonPair<TunnelGso>>;

public sealed class Ipv6OuterWireFormatTests(DaemonPair<Ipv6Outer> pair)
    : WireFormatTests<Ipv6Outer>(pair), IClassFixture<DaemonPair<Ipv6Outer>>;

public sealed class Ipv6OuterTunnelGsoWireFormatTests(DaemonPair<Ipv6OuterTunnelGso> pair)
    : WireFormatTests<Ipv6OuterTunnelGso>(pair), IClassFixture<DaemonPair<Ipv6OuterTunnelGso>>;

public sealed class TwoQueuesJumboWireFormatTests(DaemonPair<TwoQueuesJumbo> pair)
    : WireFormatTests<TwoQueuesJumbo>(pair), IClassFixture<DaemonPair<TwoQueuesJumbo>>;

/// <summary>What a node sends, read by tshark: every datagram by itself is standard VXLAN with good checksums.</summary>
public abstract class WireFormatTests<TSetup>(DaemonPair<TSetup> pair)
    where TSetup : ISetup
{
    private const int TcpBytes = 8 << 20;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Tcp_ManyFlows_EveryDatagramIsValidAndFlowsSpread(bool ipv6)
    {
        string destination = ipv6 ? pair.B.Pod6 : pair.B.Pod4;

        IReadOnlyList<CapturedDatagram> sent = await CaptureAsync(
            () => TcpCheck.RunAsync(pair.A.Pod, pair.B.Pod, destination, streams: 8, TcpBytes / 8));

        Rules().Verify(sent);
        Assert.True(sent.Count >= TcpBytes / TSetup.Options.OverlayMtu, $"{sent.Count} datagrams");
        Assert.True(sent.Select(datagram => datagram.SourcePort).Distinct().Count() > 1, "one source port for eight flows");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Udp_SuperPackets_EveryDatagramIsValid(bool ipv6)
    {
        const int Count = 3200;
        string destination = ipv6 ? pair.B.Pod6 : pair.B.Pod4;

        IReadOnlyList<CapturedDatagram> sent = await CaptureAsync(
            () => UdpCheck.RunAsync(pair.A.Pod, pair.B.Pod, destination, [1001], Count, segments: 16));

        Rules().Verify(sent);
        Assert.Equal(Count, sent.Count(datagram => datagram.Length > 1001));
    }

    [Fact]
    public async Task UdpAndPing_OfManySizes_EveryDatagramIsValid()
    {
        int[] sizes = [.. Enumerable.Range(1, 200), 1471, 1472, 1473, 5000, 65507];

        IReadOnlyList<CapturedDatagram> sent = await CaptureAsync(async () =>
        {
            await UdpCheck.RunAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, sizes, sizes.Length);
            await UdpCheck.RunAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod6, sizes, sizes.Length);
            await Ping.RunAsync(pair.A.Pod, pair.B.Pod4, size: 1, count: 3);
            await Ping.RunAsync(pair.A.Pod, pair.B.Pod6, size: 65507, count: 3);
        });

        Rules().Verify(sent);
        Assert.True(sent.Count > 2 * sizes.Length, $"{sent.Count} datagrams");
    }

    private TunnelRules Rules() => new()
    {
        Sender = pair.A,
        Receiver = pair.B,
        Tunnel = TSetup.Tunnel,
        UnderlayMtu = TSetup.Options.UnderlayMtu,
    };

    private async Task<IReadOnlyList<CapturedDatagram>> CaptureAsync(Func<Task> traffic)
    {
        await using Capture capture = await Capture.StartAsync(pair.A, pair.B);
        await traffic();
        return await capture.StopAsync(TSetup.Tunnel.Port);
    }
}
