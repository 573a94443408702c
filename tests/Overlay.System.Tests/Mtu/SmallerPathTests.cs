using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Mtu;

/// <summary>Devices of MTU 1450 over a path that carries 1350 bytes inside: what their pods' senders see of it.</summary>
public sealed class SmallerPathTests(DaemonPair<RoutedPath> pair)
    : SmallerPathChecks(pair.Network, pair.DaemonA, pair.DaemonB, overhead: 50), IClassFixture<DaemonPair<RoutedPath>>
{
    [Fact]
    public async Task Udp_MayBeFragmentedTooBig_ArrivesWholeInFragments()
    {
        await pair.A.Pod.SysctlAsync("net.ipv4.ip_no_pmtu_disc=1");
        await using Capture capture = await Capture.StartAsync(pair.A, pair.B);
        int[] sizes = [DeviceMtu - IpHeader4 - UdpHeader];

        await UdpCheck.RunAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, sizes, count: 500);
        await UdpCheck.RunAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, sizes, count: 500, segments: 20);

        await pair.A.Pod.SysctlAsync("net.ipv4.ip_no_pmtu_disc=0");
        IReadOnlyList<CapturedDatagram> sent = await capture.StopAsync(RoutedPath.Tunnel.Port);
        Assert.Equal(2000, sent.Count(datagram => datagram.InnerFragment));
        Assert.All(sent, datagram => Assert.InRange(datagram.Length, 1, SmallerPath));
        Assert.All(sent.SelectMany(datagram => datagram.Checksums), checksum => Assert.NotEqual(ChecksumStatus.Bad, checksum.Status));
    }
}

/// <summary>The same with IPv6 outside, which carries 20 bytes less.</summary>
public sealed class SmallerPathOverIpv6Tests(DaemonPair<RoutedPathIpv6> pair)
    : SmallerPathChecks(pair.Network, pair.DaemonA, pair.DaemonB, overhead: 70), IClassFixture<DaemonPair<RoutedPathIpv6>>;

/// <summary>What both have in common.</summary>
public abstract class SmallerPathChecks : IAsyncLifetime
{
    private protected const int SmallerPath = 1400;
    private protected const int IpHeader4 = 20, IpHeader6 = 40, UdpHeader = 8, TcpHeader = 20;
    private const int Path = 1500;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly LabNetwork _network;
    private readonly OverlayDaemon _near;
    private readonly OverlayDaemon _far;
    private readonly int _inside;

    private protected SmallerPathChecks(LabNetwork network, OverlayDaemon near, OverlayDaemon far, int overhead)
    {
        _network = network;
        _near = near;
        _far = far;
        _inside = SmallerPath - overhead;
        DeviceMtu = Path - overhead;
    }

    private protected int DeviceMtu { get; }

    public async Task InitializeAsync()
    {
        await UnderlayMtu.FoundAsync(SmallerPath, _near, _far);
        await UnderlayMtu.ForgetPathsAsync(_network.A.Pod);
        await UnderlayMtu.ForgetPathsAsync(_network.B.Pod);
    }

    public Task DisposeAsync() => Task.CompletedTask;

    [Theory]
    [InlineData(AddressFamily.InterNetwork)]
    [InlineData(AddressFamily.InterNetworkV6)]
    public async Task Udp_DontFragmentTooBig_SenderGetsTheMtuAndItsNextPacketFits(AddressFamily family)
    {
        bool is4 = family == AddressFamily.InterNetwork;
        int headers = UdpHeader + (is4 ? IpHeader4 : IpHeader6);
        using Socket receiver = await _network.B.Pod.OpenAsync(() => Bind(IPAddress.Parse(is4 ? _network.B.Pod4 : _network.B.Pod6)));
        using Socket sender = await _network.A.Pod.OpenAsync(() => new Socket(family, SocketType.Dgram, ProtocolType.Udp));
        receiver.ReceiveTimeout = sender.ReceiveTimeout = (int)Deadline.TotalMilliseconds;
        PathMtuSocket.NeverFragment(sender);
        sender.Connect(receiver.LocalEndPoint!);

        sender.Send(new byte[DeviceMtu - headers]);
        SocketException told = Assert.Throws<SocketException>(() => sender.Receive(new byte[1]));
        Assert.Equal(SocketError.MessageSize, told.SocketErrorCode);
        Assert.Equal(_inside, PathMtuSocket.PathMtu(sender));
        Assert.Equal(SocketError.MessageSize, Assert.Throws<SocketException>(() => sender.Send(new byte[_inside - headers + 1])).SocketErrorCode);

        Assert.Equal(_inside - headers, sender.Send(new byte[_inside - headers]));
        Assert.Equal(_inside - headers, receiver.Receive(new byte[ushort.MaxValue]));
        Assert.NotEqual(0, (await _near.StatusAsync()).Queues.Sum(queue => queue.IcmpErrors));
    }

    [Theory]
    [InlineData(AddressFamily.InterNetwork)]
    [InlineData(AddressFamily.InterNetworkV6)]
    public async Task Tcp_Connect_SynAndSynAckOfferWhatTheWayCarries(AddressFamily family)
    {
        bool is4 = family == AddressFamily.InterNetwork;
        int expected = _inside - TcpHeader - (is4 ? IpHeader4 : IpHeader6);

        Assert.Equal((expected, expected), await OfferedMss.ReadAsync(_network.A, _network.B, family));
    }

    private static Socket Bind(IPAddress address)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(address, 0));
        return socket;
    }
}
