using System.Net;
using System.Net.Sockets;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Mtu;

/// <summary>An underlay of 1280 bytes, which leaves 1230 inside: IPv6 packets of up to 1280 bytes are fragmented outside.</summary>
public sealed class SmallUnderlayTests(DaemonPair<SmallUnderlay> pair)
    : SmallUnderlayChecks(pair.Network, pair.DaemonA, pair.DaemonB, inside: 1230), IClassFixture<DaemonPair<SmallUnderlay>>;

/// <summary>The same with IPv6 outside.</summary>
public sealed class SmallUnderlayOverIpv6Tests(DaemonPair<SmallUnderlayIpv6> pair)
    : SmallUnderlayChecks(pair.Network, pair.DaemonA, pair.DaemonB, inside: 1210), IClassFixture<DaemonPair<SmallUnderlayIpv6>>;

/// <summary>What both have in common.</summary>
public abstract class SmallUnderlayChecks
{
    private const int LeastIpv6Mtu = 1280;
    private const int IpHeader4 = 20, IpHeader6 = 40, UdpHeader = 8;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly LabNetwork _network;
    private readonly OverlayDaemon _near;
    private readonly OverlayDaemon _far;
    private readonly int _inside;

    private protected SmallUnderlayChecks(LabNetwork network, OverlayDaemon near, OverlayDaemon far, int inside) =>
        (_network, _near, _far, _inside) = (network, near, far, inside);

    [Fact]
    public async Task Start_LessThanIpv6Needs_DeviceHasTheLeastAndAWarning()
    {
        SegmentStatus segment = (await _near.StatusAsync()).Segments[0];

        Assert.Equal(LeastIpv6Mtu, segment.Mtu);
        Assert.Contains($"leaves {_inside} inside: IPv6 packets above that are fragmented outside", segment.MtuWarning, StringComparison.Ordinal);
        Assert.Contains($"leaves {_inside} inside", _near.Log, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(AddressFamily.InterNetwork)]
    [InlineData(AddressFamily.InterNetworkV6)]
    public Task Tcp_EitherFamily_ArrivesVerified(AddressFamily family) => TcpCheck.RunAsync(
        _network.A.Pod, _network.B.Pod, family == AddressFamily.InterNetwork ? _network.B.Pod4 : _network.B.Pod6, streams: 2, bytes: 4 << 20);

    [Fact]
    public async Task Udp_Ipv6OfTheLeastMtu_ArrivesWholeInOuterFragments()
    {
        long before = await FragmentsAsync();
        await UdpCheck.RunAsync(_network.A.Pod, _network.B.Pod, _network.B.Pod6, [LeastIpv6Mtu - IpHeader6 - UdpHeader, 100, _inside - IpHeader6 - UdpHeader + 1], count: 600);

        Assert.InRange(await FragmentsAsync() - before, 800, 1600);
        Assert.Equal(0, StatusFigures.Drops(await _far.StatusAsync(), "ingress-inner-malformed"));
    }

    [Fact]
    public async Task Udp_Ipv4WithDontFragment_SenderIsToldWhatFits()
    {
        using Socket sender = await _network.A.Pod.OpenAsync(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        PathMtuSocket.NeverFragment(sender);
        sender.ReceiveTimeout = (int)Deadline.TotalMilliseconds;
        sender.Connect(IPAddress.Parse(_network.B.Pod4), 9);

        sender.Send(new byte[LeastIpv6Mtu - IpHeader4 - UdpHeader]);
        Assert.Equal(SocketError.MessageSize, Assert.Throws<SocketException>(() => sender.Receive(new byte[1])).SocketErrorCode);
        Assert.Equal(_inside, PathMtuSocket.PathMtu(sender));
    }

    /// <summary>Fragments that the far host's kernel has received for reassembly.</summary>
    private async Task<long> FragmentsAsync() =>
        (await KernelCounters.ReadAsync(_network.B.Host, "IpReasmReqds", "Ip6ReasmReqds")).Values.Sum();
}
