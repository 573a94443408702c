using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Mtu;

/// <summary>Devices of MTU 1450 over an underlay that carries 1350 bytes inside: what their pods' senders see of it.</summary>
public sealed class SmallerUnderlayTests(DaemonPair<FixedMtu> pair) : IClassFixture<DaemonPair<FixedMtu>>, IAsyncLifetime
{
    private const int Underlay = 1500;
    private const int SmallerUnderlay = 1400;
    private const int DeviceMtu = 1450;
    private const int PathMtu = 1350;
    private const int IpHeader4 = 20, IpHeader6 = 40, UdpHeader = 8, TcpHeader = 20;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    public async Task InitializeAsync()
    {
        await UnderlayMtu.SetAsync(SmallerUnderlay, pair.DaemonA, pair.DaemonB);
        await UnderlayMtu.ForgetPathsAsync(pair.A.Pod);
        await UnderlayMtu.ForgetPathsAsync(pair.B.Pod);
    }

    public Task DisposeAsync() => UnderlayMtu.SetAsync(Underlay, pair.DaemonA, pair.DaemonB);

    [Theory]
    [InlineData(AddressFamily.InterNetwork)]
    [InlineData(AddressFamily.InterNetworkV6)]
    public async Task Udp_DontFragmentTooBig_SenderGetsTheMtuAndItsNextPacketFits(AddressFamily family)
    {
        bool is4 = family == AddressFamily.InterNetwork;
        int headers = UdpHeader + (is4 ? IpHeader4 : IpHeader6);
        using Socket receiver = await pair.B.Pod.OpenAsync(() => Bind(IPAddress.Parse(is4 ? pair.B.Pod4 : pair.B.Pod6)));
        using Socket sender = await pair.A.Pod.OpenAsync(() => new Socket(family, SocketType.Dgram, ProtocolType.Udp));
        receiver.ReceiveTimeout = sender.ReceiveTimeout = (int)Deadline.TotalMilliseconds;
        PathMtuSocket.NeverFragment(sender);
        sender.Connect(receiver.LocalEndPoint!);

        sender.Send(new byte[DeviceMtu - headers]);
        SocketException told = Assert.Throws<SocketException>(() => sender.Receive(new byte[1]));
        Assert.Equal(SocketError.MessageSize, told.SocketErrorCode);
        Assert.Equal(PathMtu, PathMtuSocket.PathMtu(sender));
        Assert.Equal(SocketError.MessageSize, Assert.Throws<SocketException>(() => sender.Send(new byte[PathMtu - headers + 1])).SocketErrorCode);

        Assert.Equal(PathMtu - headers, sender.Send(new byte[PathMtu - headers]));
        Assert.Equal(PathMtu - headers, receiver.Receive(new byte[ushort.MaxValue]));
        Assert.NotEqual(0, (await pair.DaemonA.StatusAsync()).Queues.Sum(queue => queue.IcmpErrors));
    }

    [Fact]
    public async Task Udp_MayBeFragmentedTooBig_ArrivesWholeInFragments()
    {
        await pair.A.Pod.SysctlAsync("net.ipv4.ip_no_pmtu_disc=1");
        await using Capture capture = await Capture.StartAsync(pair.A, pair.B);
        int[] sizes = [DeviceMtu - IpHeader4 - UdpHeader];

        await UdpCheck.RunAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, sizes, count: 500);
        await UdpCheck.RunAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, sizes, count: 500, segments: 20);

        await pair.A.Pod.SysctlAsync("net.ipv4.ip_no_pmtu_disc=0");
        IReadOnlyList<CapturedDatagram> sent = await capture.StopAsync(FixedMtu.Tunnel.Port);
        Assert.Equal(2000, sent.Count(datagram => datagram.InnerFragment));
        Assert.All(sent, datagram => Assert.InRange(datagram.Length, 1, SmallerUnderlay));
        Assert.All(sent.SelectMany(datagram => datagram.Checksums), checksum => Assert.NotEqual(ChecksumStatus.Bad, checksum.Status));
    }

    [Theory]
    [InlineData(AddressFamily.InterNetwork)]
    [InlineData(AddressFamily.InterNetworkV6)]
    public async Task Tcp_Connect_SynAndSynAckOfferWhatTheWayCarries(AddressFamily family)
    {
        bool is4 = family == AddressFamily.InterNetwork;
        int expected = PathMtu - TcpHeader - (is4 ? IpHeader4 : IpHeader6);

        Assert.Equal((expected, expected), await OfferedMss.ReadAsync(pair.A, pair.B, family));
    }

    private static Socket Bind(IPAddress address)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(address, 0));
        return socket;
    }
}
