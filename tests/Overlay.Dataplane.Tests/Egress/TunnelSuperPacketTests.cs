using System.Buffers.Binary;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

public sealed class TunnelSuperPacketTests
{
    private const int VirtioLength = 24;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Process_TcpSuperPacketOverIpv4_LeavesWholeBehindItsTunnelHeaders(bool isIpv6)
    {
        var lab = new EgressLab(TunnelOffload.Ipv4, trafficClass: 0x48);
        InnerFrame frame = Frame(40_000, node: 2, isIpv6) with { TrafficClass = 0x02, TcpOptions = [1, 1, 1, 0] };
        lab.Deliver(frame.Unfinished(), frame.Offload(1400));
        lab.Run();

        SentTrain sent = Assert.Single(lab.Underlay.Sent);
        Assert.Equal((TrainKind.TunnelSuperPacket, 29, 1, (ushort)0), (sent.Train.Kind, sent.Train.Packets, sent.Train.SuperPackets, sent.Train.SegmentSize));
        Assert.Equal((29L * frame.HeaderLength) + 40_000, sent.Train.InnerBytes);
        int[] words = [.. Enumerable.Range(0, 12).Select(i => (int)BinaryPrimitives.ReadUInt16LittleEndian(sent.Bytes.AsSpan(2 * i)))];
        int type = isIpv6 ? 0x24 : 0x21;
        Assert.Equal([9 | type << 8, 50 + frame.HeaderLength, 1400, 50 + frame.TransportOffset, 16, 0, 0, 0, 0, 0, 34, 64], words);

        byte[] outer = sent.Bytes[VirtioLength..];
        Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(outer.AsSpan(14), out Ipv4Packet ip));
        Assert.True(ip.IsHeaderChecksumValid && ip.DontFragment);
        Assert.Equal((0x4a, 65, outer.Length - 14), (ip.TrafficClass, ip.TimeToLive, ip.TotalLength));
        Assert.Equal((EgressLab.LocalOuterV4, 0xc0000202u), (ip.Source, ip.Destination));
        AssertUdp(lab, sent, ip.Payload, InternetChecksum.PseudoHeaderV4(ip.Source, ip.Destination, IpProtocols.Udp, ip.Payload.Length));
        AssertInner(lab, lab.B, frame, outer[50..]);
    }

    [Fact]
    public void Process_TcpSuperPacketOverIpv6_LeavesWholeBehindItsTunnelHeaders()
    {
        var lab = new EgressLab(TunnelOffload.Ipv6);
        InnerFrame frame = Frame(40_000, node: 4);
        lab.Deliver(frame.Unfinished(), frame.Offload(1400));
        lab.Run();
        SentTrain sent = Assert.Single(lab.Underlay.Sent);
        Assert.Equal(0x41, sent.Bytes[1]);
        Assert.Equal((54, 84), (sent.Bytes[20], sent.Bytes[22]));
        byte[] outer = sent.Bytes[VirtioLength..];
        Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(outer.AsSpan(14), out Ipv6Packet ip));
        Assert.Equal((EgressLab.LocalOuterV6, lab.D.Endpoint.Address, (byte)65), (ip.Source, ip.Destination, ip.HopLimit));
        Assert.Equal(outer.Length - 54, ip.PayloadLength);
        AssertUdp(lab, sent, ip.Payload, InternetChecksum.PseudoHeaderV6(ip.Source, ip.Destination, IpProtocols.Udp, ip.Payload.Length));
        AssertInner(lab, lab.D, frame, outer[70..]);
    }

    [Fact]
    public void Process_SuperPacketBeyondTheOuterLimit_LeavesAsTwo() => Seeded.Check(100, random =>
    {
        var lab = new EgressLab(TunnelOffload.Ipv4 | TunnelOffload.Ipv6);
        InnerFrame frame = Frame(65_480, random.Next(2, 5), random.Next(2) == 0) with { Flags = TcpFlags.Ack | TcpFlags.Fin | TcpFlags.Psh | TcpFlags.Cwr };
        random.NextBytes(frame.Payload);
        int size = random.Next(500, 10_000);
        lab.Deliver(frame.Unfinished(), frame.Offload(size));
        lab.Run();

        Assert.Equal(2, lab.Underlay.Sent.Count);
        int outerHeaders = frame.Destination == EgressLab.V4(4, 9) || frame.Destination == EgressLab.V6(4, 9) ? 70 : 50;
        var segments = new List<byte[]>();
        foreach (SentTrain sent in lab.Underlay.Sent)
        {
            Assert.Equal(TrainKind.TunnelSuperPacket, sent.Train.Kind);
            Assert.InRange(sent.Train.Packets, 2, 200);
            Assert.InRange(sent.Bytes.Length - VirtioLength - 14, 1, 65_535);
            byte[] inner = sent.Bytes[(VirtioLength + outerHeaders)..];
            List<byte[]> cut = NaiveSegmenter.Segment(inner, frame.TransportOffset, isUdp: false, size);
            Assert.Equal(sent.Train.Packets, cut.Count);
            segments.AddRange(cut);
        }
        byte[] whole = frame.Unfinished();
        lab.Underlay.Sent[0].Bytes.AsSpan(VirtioLength + outerHeaders, 12).CopyTo(whole);
        Assert.Equal(NaiveSegmenter.Segment(whole, frame.TransportOffset, isUdp: false, size), segments);
    });

    [Fact]
    public void Process_WhatTheKernelCannotSegment_LeavesAsDatagrams()
    {
        var lab = new EgressLab(TunnelOffload.Ipv4);
        InnerFrame udp = Frame(3000, node: 2) with { IsUdp = true }, overV6 = Frame(3000, node: 4), single = Frame(900, node: 2), huge = Frame(65_480, node: 2);
        lab.Deliver(udp.Unfinished(), udp.Offload(1000));
        lab.Deliver(overV6.Unfinished(), overV6.Offload(1000));
        lab.Deliver(single.Unfinished(), single.Offload(1000));
        lab.Deliver(huge.Unfinished(), huge.Offload(22_000));
        lab.Run();
        Assert.All(lab.Underlay.Sent, sent => Assert.Equal(TrainKind.Datagrams, sent.Train.Kind));
        Assert.Equal(3 + 3 + 1 + 3, lab.Counters.EgressOut.Packets);
    }

    [Theory]
    [InlineData(254, TrainKind.TunnelSuperPacket)]
    [InlineData(255, TrainKind.Datagrams)]
    public void Process_TimeToLiveThatForwardingWouldLower_LeavesAsDatagrams(byte timeToLive, TrainKind kind)
    {
        var lab = new EgressLab(TunnelOffload.Ipv4, change: options => options with { TimeToLive = timeToLive });
        InnerFrame frame = Frame(5000, node: 2);
        lab.Deliver(frame.Unfinished(), frame.Offload(1000));
        lab.Run();
        SentTrain sent = Assert.Single(lab.Underlay.Sent);
        Assert.Equal(kind, sent.Train.Kind);
        if (kind == TrainKind.TunnelSuperPacket) Assert.Equal(255, sent.Bytes[VirtioLength + 14 + 8]);
    }

    [Fact]
    public void Process_PacketsAroundASuperPacket_KeepTheirPlaces()
    {
        var lab = new EgressLab(TunnelOffload.Ipv4);
        InnerFrame small = Frame(100, node: 2), super = Frame(5000, node: 2);
        lab.Deliver(small.Finished());
        lab.Deliver(super.Unfinished(), super.Offload(1000));
        lab.Deliver(small.Finished());
        lab.Run();
        Assert.Equal(
            [TrainKind.Datagrams, TrainKind.TunnelSuperPacket, TrainKind.Datagrams], lab.Underlay.Sent.Select(sent => sent.Train.Kind));
        Assert.Single(lab.Underlay.Sent.Select(sent => sent.Train.SourcePortIndex).Distinct());
    }

    private static void AssertUdp(EgressLab lab, SentTrain sent, ReadOnlySpan<byte> bytes, ulong pseudoHeader)
    {
        Assert.Equal(WireStatus.Ok, UdpHeader.TryParse(bytes, out UdpHeader udp));
        Assert.Equal(bytes.Length, udp.Length);
        Assert.Equal(lab.Options.SourcePorts[sent.Train.SourcePortIndex], udp.SourcePort);
        Assert.Equal(VxlanHeader.DefaultPort, udp.DestinationPort);
        Assert.Equal(InternetChecksum.Fold(pseudoHeader), InternetChecksum.Read(bytes[UdpHeader.ChecksumOffset..]));
        Assert.Equal([8, 0, 0, 0, 0, 0, (byte)EgressLab.Vni, 0], udp.Payload[..8].ToArray());
    }

    /// <summary>The inner super-packet is what the device gave, unfinished checksum included, but for the MACs.</summary>
    private static void AssertInner(EgressLab lab, Peer peer, InnerFrame frame, byte[] inner)
    {
        byte[] expected = frame.Unfinished();
        EthernetFrame.WriteHeader(expected, peer.Mac, lab.Segment.DeviceMac, frame.IsIpv6 ? EtherTypes.Ipv6 : EtherTypes.Ipv4);
        Assert.Equal(expected, inner);
    }

    private static InnerFrame Frame(int payload, int node, bool isIpv6 = false) => new()
    {
        IsIpv6 = isIpv6,
        Source = isIpv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
        Destination = isIpv6 ? EgressLab.V6(node, 9) : EgressLab.V4(node, 9),
        Payload = new byte[payload],
    };
}
