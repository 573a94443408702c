using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux.Tests.Support;
using Overlay.Linux.Underlay;
using Overlay.Wire;

namespace Overlay.Linux.Tests;

/// <summary>What the sockets make of outer headers: ports, checksums, flow labels, hop limits.</summary>
public sealed class OuterHeaderTests
{
    private const int Bytes = 3000;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Receive_TwoPorts_TellsTheEncapsulation(bool ipv6)
    {
        using var pair = new UnderlayPair(second: options => options with
        {
            Ports = [new TunnelPort(4789, Encapsulation.Vxlan), new TunnelPort(6081, Encapsulation.Geneve)],
        });
        IPAddress to = IPAddress.Parse(ipv6 ? "2001:db8::2" : "192.0.2.2");
        pair.AddTrain([1], segmentSize: 0, UnderlayPair.PeerAt(to, 4789));
        pair.AddTrain([2, 2], segmentSize: 0, UnderlayPair.PeerAt(to, 6081));
        pair.Send();
        Assert.Equal(
            [(1, Encapsulation.Vxlan), (2, Encapsulation.Geneve)],
            pair.Receive(3).Select(train => (train.Bytes.Length, train.Encapsulation)).Order());
    }

    [Fact]
    public void Receive_NoChecksumOverIpv4_IsAcceptedAndTrainsLeaveSingly()
    {
        using var pair = new UnderlayPair(first: options => options with { ZeroChecksums = ZeroChecksums.SendIpv4 });
        pair.AddTrain(UnderlayPair.RandomBytes(Bytes), segmentSize: 1000, ipv6: false);
        pair.AddTrain(UnderlayPair.RandomBytes(Bytes), segmentSize: 1000, ipv6: true);
        pair.Send();
        Assert.All(pair.Batch.Trains.ToArray(), train => Assert.Equal(SendOutcome.Sent, train.Outcome));
        pair.Receive(2 * Bytes);
        Assert.Empty(pair.First.Refusals);
    }

    [Fact]
    public void Receive_NoChecksumOverIpv6_IsAcceptedOnlyByChoice()
    {
        using var pair = new UnderlayPair(
            first: options => options with { ZeroChecksums = ZeroChecksums.SendIpv6 }, second: options => options with { ZeroChecksums = ZeroChecksums.ReceiveIpv6 });
        pair.AddTrain(UnderlayPair.RandomBytes(Bytes), segmentSize: 1000, ipv6: true);
        pair.Send();
        pair.Receive(Bytes);

        using var strict = new UnderlayPair(first: options => options with { ZeroChecksums = ZeroChecksums.SendIpv6 });
        strict.AddTrain(new byte[100], segmentSize: 0, ipv6: true);
        strict.AddTrain([7], segmentSize: 0, ipv6: false);
        strict.Send();
        Assert.Equal([7], Assert.Single(strict.Receive(1)).Bytes);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Receive_WrongChecksum_IsDropped(bool ipv6)
    {
        using var pair = new UnderlayPair();
        pair.FirstSpace.Run(() =>
        {
            SendRaw(ipv6, damage: 1, payload: 9);
            SendRaw(ipv6, damage: 0, payload: 8);
        });
        Assert.Equal([8], Assert.Single(pair.Receive(1)).Bytes);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Send_TimeToLiveOfTheTrain_LeavesWithIt(bool ipv6)
    {
        using var pair = new UnderlayPair();
        using Socket sniffer = Sniffer(pair);
        pair.AddTrain([1, 2, 3], segmentSize: 0, ipv6, sourcePortIndex: 3);
        pair.Batch.Trains[0].TimeToLive = 5;
        pair.Send();
        byte[] frame = Sniffed(sniffer, pair.First.SourcePorts[3], ipv6);
        Assert.Equal(5, frame[ipv6 ? 21 : 22]);
    }

    [Fact]
    public void Send_OverIpv6_LabelsTheFlow()
    {
        using var pair = new UnderlayPair();
        using Socket sniffer = Sniffer(pair);
        for (int port = 0; port < 2; port++) pair.AddTrain([1, 2, 3], segmentSize: 0, ipv6: true, sourcePortIndex: port, trafficClass: 0xb9);
        pair.Send();
        for (int port = 0; port < 2; port++)
        {
            byte[] frame = Sniffed(sniffer, pair.First.SourcePorts[port], ipv6: true);
            uint word = BinaryPrimitives.ReadUInt32BigEndian(frame.AsSpan(14));
            Assert.Equal(0x6b90_0000u | pair.First.SourcePorts[port], word);
        }
    }

    private static Socket Sniffer(UnderlayPair pair) => pair.SecondSpace.Run(() =>
    {
        const int EveryProtocol = 0x0300;
        return new Socket(AddressFamily.Packet, SocketType.Raw, (ProtocolType)EveryProtocol) { ReceiveTimeout = 10_000 };
    });

    /// <summary>The first frame that carries a UDP datagram from the port.</summary>
    private static byte[] Sniffed(Socket sniffer, ushort sourcePort, bool ipv6)
    {
        byte[] buffer = new byte[2000];
        int udp = ipv6 ? 54 : 34;
        while (true)
        {
            int length = sniffer.Receive(buffer);
            bool isFamily = buffer[12] == (ipv6 ? 0x86 : 0x08) && buffer[13] == (ipv6 ? 0xdd : 0x00);
            if (length > udp + 8 && isFamily && BinaryPrimitives.ReadUInt16BigEndian(buffer.AsSpan(udp)) == sourcePort) return buffer[..length];
        }
    }

    private static void SendRaw(bool ipv6, ushort damage, byte payload)
    {
        IPAddress from = IPAddress.Parse(ipv6 ? "2001:db8::1" : "192.0.2.1"), to = IPAddress.Parse(ipv6 ? "2001:db8::2" : "192.0.2.2");
        byte[] datagram = new byte[9];
        UdpHeader.Write(datagram, 50_000, 4789, datagram.Length);
        datagram[8] = payload;
        byte[] addresses = [.. from.GetAddressBytes(), .. to.GetAddressBytes()];
        ulong pseudoHeader = ipv6
            ? InternetChecksum.PseudoHeaderV6(addresses, IpProtocols.Udp, datagram.Length)
            : InternetChecksum.PseudoHeaderV4(addresses, IpProtocols.Udp, datagram.Length);
        ushort checksum = InternetChecksum.FinishUdp(InternetChecksum.Add(datagram, pseudoHeader));
        InternetChecksum.Store(datagram.AsSpan(UdpHeader.ChecksumOffset), (ushort)(checksum ^ damage));
        using var raw = new Socket(from.AddressFamily, SocketType.Raw, ProtocolType.Udp);
        raw.SendTo(datagram, new IPEndPoint(to, 0));
    }
}
