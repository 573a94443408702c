using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux.Interop;
using Overlay.Linux.Tests.Support;
using Overlay.Linux.Underlay;

namespace Overlay.Linux.Tests;

/// <summary>Two underlays in two namespaces, a veth pair between them.</summary>
public sealed class UdpUnderlayTests : IDisposable
{
    private readonly UnderlayPair _pair = new();

    public void Dispose() => _pair.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Send_TrainOfEqualDatagrams_ArrivesSegmentedAndMerged(bool ipv6)
    {
        byte[] payload = UnderlayPair.RandomBytes((63 * 1000) + 7);
        _pair.Batch.Clear();
        _pair.AddTrain(payload, segmentSize: 1000, ipv6, sourcePortIndex: 5, trafficClass: 0xb9);
        _pair.Send();
        Assert.Equal(SendOutcome.Sent, _pair.Batch.Trains[0].Outcome);
        Assert.Empty(_pair.First.Refusals);

        List<Arrived> arrived = _pair.Receive(payload.Length);
        Assert.Equal(payload, arrived.SelectMany(train => train.Bytes));
        Assert.All(arrived, train =>
        {
            Assert.Equal(_pair.First.SourcePorts[5], train.Source.Port);
            Assert.Equal(IPAddress.Parse(ipv6 ? "2001:db8::1" : "192.0.2.1"), Overlay.Wire.IpBits.ToAddress(train.Source.Address));
            Assert.Equal(0xb9, train.TrafficClass);
        });
        Assert.Equal(1000, arrived[0].SegmentSize);
        Assert.True(arrived.Count < 64, $"{arrived.Count} trains arrived: nothing was merged");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Receive_SingleDatagram_IsATrainOfOne(bool ipv6)
    {
        byte[] payload = UnderlayPair.RandomBytes(77);
        _pair.AddTrain(payload, segmentSize: 0, ipv6);
        _pair.Send();
        Arrived train = Assert.Single(_pair.Receive(payload.Length));
        Assert.Equal(payload, train.Bytes);
        Assert.Equal(77, train.SegmentSize);
        Assert.Equal(0, train.TrafficClass);
    }

    [Fact]
    public void Receive_NothingWaiting_IsEmpty()
    {
        var batch = new ReceiveBatch(8);
        Assert.Equal(0, _pair.Second.Receive(batch));
        Assert.Equal(0, batch.Count);
    }

    [Fact]
    public void Receive_MoreThanTheBatchHolds_RestComesNext()
    {
        for (int i = 0; i < 10; i++) _pair.AddTrain([(byte)i], segmentSize: 0, ipv6: i % 2 == 0, sourcePortIndex: i % 3);
        _pair.Send();
        List<Arrived> arrived = _pair.Receive(10, new ReceiveBatch(3));
        Assert.Equal(Enumerable.Range(0, 10), arrived.SelectMany(train => train.Bytes).Select(value => (int)value).Order());
    }

    [Fact]
    public void Send_ManySourcePorts_KeepsTheOrderOfEach()
    {
        const int Trains = 300;
        for (int i = 0; i < Trains; i++)
            _pair.AddTrain([(byte)(i >> 8), (byte)i], segmentSize: 0, ipv6: i % 3 == 0, sourcePortIndex: i * 7 % 5);
        _pair.Send();
        Assert.All(_pair.Batch.Trains.ToArray(), train => Assert.Equal(SendOutcome.Sent, train.Outcome));

        List<Arrived> arrived = _pair.Receive(Trains * 2);
        IEnumerable<IGrouping<(ushort, bool), int>> flows = arrived
            .SelectMany(train => train.Bytes.Chunk(2).Select(pair => (train.Source, Number: (pair[0] << 8) | pair[1])))
            .GroupBy(datagram => (datagram.Source.Port, datagram.Source.IsIPv4), datagram => datagram.Number);
        Assert.Equal(10, flows.Count());
        Assert.All(flows, flow => Assert.Equal(flow.Order(), flow));
        Assert.Equal(Enumerable.Range(0, Trains), flows.SelectMany(flow => flow).Order());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Send_RefusedInTheMiddle_OthersLeave(bool ipv6)
    {
        int largest = 1500 - (ipv6 ? 48 : 28);
        _pair.AddTrain(new byte[largest], segmentSize: 0, ipv6);
        _pair.AddTrain(new byte[largest + 1], segmentSize: 0, ipv6);
        _pair.AddTrain(new byte[(largest * 3) + 3], segmentSize: largest + 1, ipv6);
        _pair.AddTrain(new byte[largest * 3], segmentSize: largest, ipv6);
        _pair.AddTrain([1], segmentSize: 0, ipv6);
        _pair.Send();
        Assert.Equal(
            [SendOutcome.Sent, SendOutcome.TooBig, SendOutcome.TooBig, SendOutcome.Sent, SendOutcome.Sent],
            _pair.Batch.Trains.ToArray().Select(train => train.Outcome));
        Assert.Empty(_pair.First.Refusals);
        _pair.Receive((largest * 4) + 1);
    }

    [Theory]
    [InlineData("198.51.100.1")]
    [InlineData("2001:db9::1")]
    public void Send_NoRoute_IsUnreachable(string peer)
    {
        _pair.AddTrain([1, 2, 3], segmentSize: 0, UnderlayPair.PeerAt(IPAddress.Parse(peer)));
        _pair.Send();
        Assert.Equal(SendOutcome.Unreachable, _pair.Batch.Trains[0].Outcome);
    }

    [Fact]
    public void Send_SegmentationRefused_LeavesAsDatagramsAndSaysSo()
    {
        const int NoCheck = 11;
        for (int i = 0; i < 8; i++) _pair.SetSendOption(i, Sockets.SOL_SOCKET, NoCheck, 1);
        byte[] payload = UnderlayPair.RandomBytes((40 * 1000) + 1);
        for (int round = 0; round < 2; round++)
        {
            _pair.Batch.Clear();
            _pair.AddTrain([9], segmentSize: 0, ipv6: false);
            _pair.AddTrain(payload, segmentSize: 1000, ipv6: false, trafficClass: 0xb8);
            _pair.AddTrain([7], segmentSize: 0, ipv6: false);
            _pair.Send();
            Assert.All(_pair.Batch.Trains.ToArray(), train => Assert.Equal(SendOutcome.Sent, train.Outcome));
            List<Arrived> arrived = _pair.Receive(payload.Length + 2);
            Assert.Equal([9, .. payload, 7], arrived.SelectMany(train => train.Bytes));
            Assert.All(arrived.Where(train => train.Bytes.Length >= 1000), train => Assert.Equal(0xb8, train.TrafficClass));
        }
        string refusal = Assert.Single(_pair.First.Refusals);
        Assert.Contains("UDP_SEGMENT to 192.0.2.2:4789 is refused", refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Send_Datagram_HasDontFragmentTtlAndClass()
    {
        using Socket raw = _pair.SecondSpace.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.Udp) { ReceiveTimeout = 5000 });
        _pair.AddTrain([1, 2, 3], segmentSize: 0, ipv6: false, trafficClass: 0x2e);
        _pair.Send();
        byte[] packet = new byte[100];
        Assert.Equal(20 + 8 + 3, raw.Receive(packet));
        Assert.Equal(0x2e, packet[1]);
        Assert.Equal(0x40, packet[6]);
        Assert.Equal(UnderlayPair.TimeToLive, packet[8]);
        Assert.InRange((packet[20] << 8) | packet[21], 49_152, 65_535);
        Assert.Equal(4789, (packet[22] << 8) | packet[23]);
        Assert.NotEqual(0, (packet[26] << 8) | packet[27]);
    }

    [Fact]
    public void SourcePorts_SomeTaken_AreDistinctInRangeAndFree()
    {
        using Socket taken = _pair.FirstSpace.Run(() =>
        {
            var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp) { DualMode = false };
            socket.Bind(new IPEndPoint(IPAddress.IPv6Any, _pair.First.SourcePorts[^1] + 1));
            return socket;
        });
        using UdpUnderlay underlay = UnderlayPair.Open(_pair.FirstSpace, 1, options => options with { Ports = [new TunnelPort(4790, Encapsulation.Vxlan)] });
        ushort[] ports = [.. _pair.First.SourcePorts, .. underlay.SourcePorts];
        Assert.Equal(2 * UnderlayPair.SourcePortCount, ports.Distinct().Count());
        Assert.All(ports, port => Assert.InRange(port, 61_000, 65_535));
        Assert.DoesNotContain((ushort)((IPEndPoint)taken.LocalEndPoint!).Port, ports);
    }

    [Fact]
    public void SourcePorts_Candidates_AreTheWholeRangeOnce()
    {
        ushort[] ports = [.. Enumerable.Range(0, 16_384).Select(SourceSockets.PortAt)];
        Assert.Equal(61_000, ports[0]);
        Assert.Equal(Enumerable.Range(49_152, 16_384), ports.Select(port => (int)port).Order());
        var exception = Assert.Throws<LinuxException>(() => SourceSockets.PortAt(16_384));
        Assert.Equal(Errno.EADDRINUSE, exception.Errno);
        Assert.Contains("49152-65535", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SourcePort_DatagramsArriveThere_NothingQueues()
    {
        using Socket sender = _pair.SecondSpace.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        IPAddress first = IPAddress.Parse("192.0.2.1");
        for (int i = 0; i < 100; i++) sender.SendTo(new byte[100], new IPEndPoint(first, _pair.First.SourcePorts[0]));

        // What is sent last arrives last.
        sender.SendTo([1], new IPEndPoint(first, 4789));
        using var poller = new Poller([.. _pair.First.ReceiveDescriptors]);
        Assert.True(poller.Wait(10_000));
        string[] sockets = _pair.FirstSpace.Run(() => File.ReadAllLines("/proc/thread-self/net/udp"));
        string port = $":{_pair.First.SourcePorts[0]:X4}";
        string[] words = Assert.Single(sockets, line => line.Contains(port, StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.EndsWith(":00000000", words[4], StringComparison.Ordinal);
    }

    [Fact]
    public void Open_PortTaken_SaysRemedy()
    {
        var exception = Assert.Throws<LinuxException>(() => UnderlayPair.Open(_pair.FirstSpace, 1, options => options));
        Assert.Equal(Errno.EADDRINUSE, exception.Errno);
        Assert.Contains("192.0.2.1:4789", exception.Message, StringComparison.Ordinal);
        Assert.Contains("choose another port", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_TwoQueues_ShareThePort()
    {
        UdpUnderlayOptions Change(UdpUnderlayOptions options) => options with { Ports = [new TunnelPort(4790, Encapsulation.Vxlan)], QueueCount = 2 };
        using UdpUnderlay first = UnderlayPair.Open(_pair.FirstSpace, 1, Change);
        using UdpUnderlay second = UnderlayPair.Open(_pair.FirstSpace, 1, Change);
        Assert.Empty(first.SourcePorts.Intersect(second.SourcePorts));
    }

    [Fact]
    public void Open_BoundToInterface_ReceivesFromItOnly()
    {
        using UdpUnderlay loopback = UnderlayPair.Open(_pair.SecondSpace, 2, options => options with { Ports = [new TunnelPort(4790, Encapsulation.Vxlan)], Interface = "lo" });
        using UdpUnderlay veth = UnderlayPair.Open(_pair.SecondSpace, 2, options => options with { Ports = [new TunnelPort(4791, Encapsulation.Vxlan)], Interface = "veth1" });
        IPAddress address = IPAddress.Parse("192.0.2.2");
        _pair.AddTrain([1], segmentSize: 0, UnderlayPair.PeerAt(address, 4790));
        _pair.AddTrain([2], segmentSize: 0, UnderlayPair.PeerAt(address, 4791));
        _pair.AddTrain([3], segmentSize: 0, UnderlayPair.PeerAt(address));
        _pair.Send();
        _pair.Receive(1);
        Assert.Equal(0, loopback.Receive(new ReceiveBatch(4)));
        Assert.Equal(1, veth.Receive(new ReceiveBatch(4)));
    }

    [Fact]
    public void Open_InterfaceMissing_NamesIt()
    {
        var exception = Assert.Throws<LinuxException>(() => UnderlayPair.Open(_pair.FirstSpace, 1, options => options with { Interface = "absent0" }));
        Assert.Equal(Errno.ENODEV, exception.Errno);
        Assert.Contains("absent0", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_TwoAddressesOfAFamily_IsRefused()
    {
        IPAddress[] addresses = [IPAddress.Parse("192.0.2.1"), IPAddress.Parse("192.0.2.3")];
        var exception = Assert.Throws<ArgumentException>(() => new UdpUnderlay(new UdpUnderlayOptions { Addresses = addresses }));
        Assert.Contains("192.0.2.3", exception.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new UdpUnderlay(new UdpUnderlayOptions { Addresses = [] }));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Send_AfterForgedTooBig_StillLeavesWhole(bool ipv6)
    {
        byte[] payload = UnderlayPair.RandomBytes(1400);
        _pair.AddTrain(payload, segmentSize: 0, ipv6);
        _pair.Send();
        _pair.Receive(payload.Length);
        _pair.ForgeTooBig(ipv6, mtu: ipv6 ? 1280 : 600);

        _pair.Send();
        Assert.Equal(SendOutcome.Sent, _pair.Batch.Trains[0].Outcome);
        Assert.Equal(payload, Assert.Single(_pair.Receive(payload.Length)).Bytes);
    }
}
