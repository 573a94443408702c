using System.Net;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests;

public sealed class UdpGsoTests(DaemonPair<UdpGso> pair) : PodToPodTests<UdpGso>(pair), IClassFixture<DaemonPair<UdpGso>>;

public sealed class TunnelGsoTests(DaemonPair<TunnelGso> pair) : PodToPodTests<TunnelGso>(pair), IClassFixture<DaemonPair<TunnelGso>>;

public sealed class Ipv6OuterTests(DaemonPair<Ipv6Outer> pair) : PodToPodTests<Ipv6Outer>(pair), IClassFixture<DaemonPair<Ipv6Outer>>;

public sealed class UdpGsoOffloadedTests(DaemonPair<UdpGsoOffloaded> pair)
    : PodToPodTests<UdpGsoOffloaded>(pair), IClassFixture<DaemonPair<UdpGsoOffloaded>>;

public sealed class TunnelGsoOffloadedTests(DaemonPair<TunnelGsoOffloaded> pair)
    : PodToPodTests<TunnelGsoOffloaded>(pair), IClassFixture<DaemonPair<TunnelGsoOffloaded>>;

public sealed class TwoQueuesJumboTests(DaemonPair<TwoQueuesJumbo> pair)
    : PodToPodTests<TwoQueuesJumbo>(pair), IClassFixture<DaemonPair<TwoQueuesJumbo>>;

/// <summary>Traffic between pods of two nodes with a daemon each; once for every setup.</summary>
public abstract class PodToPodTests<TSetup>(DaemonPair<TSetup> pair)
    where TSetup : ISetup
{
    private const int IcmpHeader = 8;
    private const int Ipv4Header = 20;
    private const int Ipv6Header = 40;
    private const int UdpHeader = 8;

    private static readonly int[] EverySize = [.. Enumerable.Range(1, 1600), .. Enumerable.Range(0, 65).Select(step => 1601 + (step * 998)), 65507];

    [Theory]
    [InlineData(1)]
    [InlineData(56)]
    [InlineData(1422)]
    [InlineData(1423)]
    [InlineData(1500)]
    [InlineData(4096)]
    [InlineData(20000)]
    [InlineData(65507)]
    public async Task Ping_AnySize_IsAnswered(int size)
    {
        PingResult ipv4 = await Ping.RunAsync(pair.A.Pod, pair.B.Pod4, size, count: 3);
        PingResult ipv6 = await Ping.RunAsync(pair.B.Pod, pair.A.Pod6, size, count: 3);

        Assert.True(ipv4.Received == 3, ipv4.Transcript);
        Assert.True(ipv6.Received == 3, ipv6.Transcript);
    }

    [Fact]
    public async Task Ping_DontFragmentAtTheMtu_IsAnswered()
    {
        int mtu = TSetup.Options.OverlayMtu;

        PingResult ipv4 = await Ping.RunAsync(pair.A.Pod, pair.B.Pod4, mtu - Ipv4Header - IcmpHeader, dontFragment: true);
        PingResult ipv6 = await Ping.RunAsync(pair.A.Pod, pair.B.Pod6, mtu - Ipv6Header - IcmpHeader, dontFragment: true);

        Assert.True(ipv4.Received == 1, ipv4.Transcript);
        Assert.True(ipv6.Received == 1, ipv6.Transcript);
    }

    [Fact]
    public async Task Ping_DontFragmentOneAboveTheMtu_FailsLocally()
    {
        int mtu = TSetup.Options.OverlayMtu;

        PingResult ipv4 = await Ping.RunAsync(pair.A.Pod, pair.B.Pod4, mtu - Ipv4Header - IcmpHeader + 1, dontFragment: true);
        PingResult ipv6 = await Ping.RunAsync(pair.A.Pod, pair.B.Pod6, mtu - Ipv6Header - IcmpHeader + 1, dontFragment: true);

        Assert.Equal(0, ipv4.Received);
        Assert.Equal(0, ipv6.Received);
        Assert.Contains($"mtu={mtu}", ipv4.Transcript, StringComparison.Ordinal);
        Assert.Contains($"mtu: {mtu}", ipv6.Transcript, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, 1)]
    [InlineData(false, 4)]
    [InlineData(true, 1)]
    [InlineData(true, 4)]
    public async Task Tcp_BothDirections_ArrivesByteForByteFromThePodsAddress(bool ipv6, int streams)
    {
        long bytes = (256L << 20) / streams;
        string a = ipv6 ? pair.A.Pod6 : pair.A.Pod4;
        string b = ipv6 ? pair.B.Pod6 : pair.B.Pod4;

        IReadOnlyList<IPAddress> forth = await TcpCheck.RunAsync(pair.A.Pod, pair.B.Pod, b, streams, bytes);
        IReadOnlyList<IPAddress> back = await TcpCheck.RunAsync(pair.B.Pod, pair.A.Pod, a, streams, bytes);

        Assert.All(forth, source => Assert.Equal(IPAddress.Parse(a), source));
        Assert.All(back, source => Assert.Equal(IPAddress.Parse(b), source));
    }

    [Fact]
    public async Task Tcp_BothDirectionsAtATime_ArrivesByteForByte()
    {
        Task forth = TcpCheck.RunAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, streams: 2, bytes: 64 << 20);
        Task back = TcpCheck.RunAsync(pair.B.Pod, pair.A.Pod, pair.A.Pod6, streams: 2, bytes: 64 << 20);

        await Task.WhenAll(forth, back);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Udp_EverySize_ArrivesByteForByteFromThePodsAddress(bool ipv6)
    {
        string destination = ipv6 ? pair.B.Pod6 : pair.B.Pod4;
        string expected = ipv6 ? pair.A.Pod6 : pair.A.Pod4;

        IPAddress source = await UdpCheck.RunAsync(pair.A.Pod, pair.B.Pod, destination, EverySize, EverySize.Length);

        Assert.Equal(IPAddress.Parse(expected), source);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Udp_SuperPackets_ArriveByteForByteAsSuperPackets(bool ipv6)
    {
        const int Count = 32000;
        const int Size = 1000;
        string destination = ipv6 ? pair.B.Pod6 : pair.B.Pod4;
        StatusDocument before = await StatusFigures.AtRestAsync(pair.DaemonA);

        await UdpCheck.RunAsync(pair.A.Pod, pair.B.Pod, destination, [Size], Count, segments: 32);
        StatusDocument after = await StatusFigures.AtRestAsync(pair.DaemonA);

        TrafficStatus sentBefore = StatusFigures.Peer(before, pair.B).Egress;
        TrafficStatus sent = StatusFigures.Peer(after, pair.B).Egress;
        Assert.Equal(Count, sent.Packets - sentBefore.Packets);
        Assert.Equal((long)Count * (14 + (ipv6 ? Ipv6Header : Ipv4Header) + UdpHeader + Size), sent.Bytes - sentBefore.Bytes);
        Assert.Equal(Count / 32, sent.SuperPackets - sentBefore.SuperPackets);
    }

    [Fact]
    public async Task Iperf_TcpAndUdp_NothingIsCorruptOrLostOnTheWay()
    {
        double rate = await Iperf.TcpAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, seconds: 2);
        (long sent, long lost) = await Iperf.UdpAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, seconds: 2, rate: 50_000_000);
        ProtocolErrors errors = await ProtocolErrors.ReadAsync(pair.B.Pod);

        Assert.True(rate > 0, "nothing arrived");
        Assert.True(sent > 1000, $"{sent} datagrams");
        Assert.Equal(0, errors.TcpChecksum);
        Assert.Equal(0, errors.UdpChecksum);
        // What iperf3 was too slow to take from its own socket did arrive.
        Assert.True(lost <= errors.UdpNoRoom, $"{lost} of {sent} lost, {errors.UdpNoRoom} of them by the receiver");
    }

    [Fact]
    public async Task NodeToPodAndPodToNode_TcpAndPing_ArriveFromTheTunnelAddress()
    {
        PingResult toPod = await Ping.RunAsync(pair.A.Host, pair.B.Pod4, size: 3000);
        PingResult toNode = await Ping.RunAsync(pair.A.Pod, pair.B.Tunnel4, size: 3000);
        IReadOnlyList<IPAddress> ipv4 = await TcpCheck.RunAsync(pair.A.Host, pair.B.Pod, pair.B.Pod4, streams: 1, bytes: 16 << 20);
        IReadOnlyList<IPAddress> ipv6 = await TcpCheck.RunAsync(pair.A.Host, pair.B.Pod, pair.B.Pod6, streams: 1, bytes: 16 << 20);
        await TcpCheck.RunAsync(pair.A.Pod, pair.B.Host, pair.B.Tunnel4, streams: 1, bytes: 16 << 20);

        Assert.True(toPod.Received == 1, toPod.Transcript);
        Assert.True(toNode.Received == 1, toNode.Transcript);
        Assert.Equal([IPAddress.Parse(pair.A.Tunnel4)], ipv4);
        Assert.Equal([IPAddress.Parse(pair.A.Tunnel6)], ipv6);
    }

    [Fact]
    public async Task Counters_AfterTraffic_InIsOutAndAnsweredAndDropped()
    {
        await TcpCheck.RunAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, streams: 2, bytes: 32 << 20);
        await Ping.RunAsync(pair.A.Pod, pair.B.Pod6, size: 8000, count: 5);
        StatusDocument[] ends = [await StatusFigures.AtRestAsync(pair.DaemonA), await StatusFigures.AtRestAsync(pair.DaemonB)];

        foreach (QueueStatus queue in ends.SelectMany(end => end.Queues))
        {
            Assert.Equal(queue.EgressIn.Packets, queue.EgressOut.Packets + queue.Answered + StatusFigures.DropsOf(queue, "egress-"));
            Assert.Equal(queue.IngressIn.Packets, queue.IngressOut.Packets + StatusFigures.DropsOf(queue, "ingress-"));
        }
        Assert.All(ends, end => Assert.True(end.Queues.Sum(queue => queue.EgressOut.Packets) > 0));
        Assert.All(ends, end => Assert.True(end.Queues.Sum(queue => queue.IngressOut.Packets) > 0));
    }
}
