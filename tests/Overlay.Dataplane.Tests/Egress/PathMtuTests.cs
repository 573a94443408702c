using System.Buffers.Binary;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Mtu;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

/// <summary>Packets that the way to their peer does not carry: 1400 bytes of underlay, so 1350 inside VXLAN over IPv4.</summary>
public sealed class PathMtuTests
{
    private const int PathMtu = 1400;
    private const int Inside = PathMtu - 50;

    private readonly EgressLab _lab = new();

    public PathMtuTests() => _lab.B.Path.LinkMtu = PathMtu;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Process_TooBigWithDontFragment_TellsTheSenderTheMtu(bool ipv6)
    {
        InnerFrame frame = Udp(1372, ipv6);
        byte[] sent = frame.Finished();
        _lab.Deliver(sent);
        _lab.Run();

        Assert.Empty(_lab.Underlay.Sent);
        Assert.Equal(1, _lab.Counters.Drops[(int)DropReason.EgressTooBig]);
        Assert.Equal(1, _lab.Counters.IcmpErrors);
        byte[] answer = Assert.Single(_lab.Device.Written).Bytes;
        ReadOnlySpan<byte> ip = answer.AsSpan(EthernetFrame.MinHeaderLength);
        if (ipv6)
        {
            Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(ip, out Ipv6Packet packet));
            Assert.Equal((frame.Destination, frame.Source), (packet.Source, packet.Destination));
            Assert.Equal(WireStatus.Ok, Icmpv6Header.TryParse(packet.UpperPayload, out Icmpv6Header icmp));
            Assert.Equal((Icmpv6Types.PacketTooBig, (uint)Inside), (icmp.Type, icmp.RestOfHeader));
            Assert.True(icmp.IsChecksumValid(packet.Addresses));
            Assert.Equal(1280, ip.Length);
            Assert.True(icmp.Payload.SequenceEqual(sent.AsSpan(EthernetFrame.MinHeaderLength, icmp.Payload.Length)));
            return;
        }
        Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(ip, out Ipv4Packet packet4));
        Assert.True(packet4.IsHeaderChecksumValid);
        Assert.Equal(((uint)frame.Destination, (uint)frame.Source), (packet4.Source, packet4.Destination));
        Assert.Equal(WireStatus.Ok, Icmpv4Header.TryParse(packet4.Payload, out Icmpv4Header icmp4));
        Assert.Equal((Icmpv4Types.DestinationUnreachable, Icmpv4Types.FragmentationNeeded), (icmp4.Type, icmp4.Code));
        Assert.Equal((uint)Inside, icmp4.RestOfHeader);
        Assert.True(icmp4.IsChecksumValid);
        Assert.Equal(576, ip.Length);
        Assert.True(icmp4.Payload.SequenceEqual(sent.AsSpan(EthernetFrame.MinHeaderLength, icmp4.Payload.Length)));
    }

    [Fact]
    public void Process_ExactFit_LeavesWhole()
    {
        byte[] frame = Udp(Inside - 28, ipv6: false).Finished();
        _lab.Deliver(frame);
        _lab.Run();
        Assert.Equal(frame.Length, Assert.Single(_lab.InnerFramesSent).Length);
    }

    [Fact]
    public void Process_TooBigWithoutDontFragment_FragmentsThatReassemble()
    {
        byte[] frame = Udp(3000, ipv6: false).Finished();
        Span<byte> header = frame.AsSpan(EthernetFrame.MinHeaderLength, Ipv4Packet.MinHeaderLength);
        Ipv4Packet.WriteFragment(header, 3028, 0, more: false);
        _lab.Deliver(frame);
        _lab.Run();

        var payload = new byte[3008];
        int end = 0;
        foreach (byte[] fragment in _lab.InnerFramesSent)
        {
            Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(fragment.AsSpan(EthernetFrame.MinHeaderLength), out Ipv4Packet ip));
            Assert.True(ip.IsHeaderChecksumValid);
            Assert.True(ip.TotalLength <= Inside);
            Assert.Equal(end, ip.FragmentOffset);
            Assert.Equal(0xfffe, ip.Identification);
            ip.Payload.CopyTo(payload.AsSpan(end));
            end += ip.Payload.Length;
            Assert.Equal(end < payload.Length, ip.MoreFragments);
        }
        Assert.Equal(payload.Length, end);
        Assert.True(payload.AsSpan().SequenceEqual(frame.AsSpan(EthernetFrame.MinHeaderLength + Ipv4Packet.MinHeaderLength)));
        Assert.Equal((3, 3), (_lab.Counters.EgressIn.Packets, _lab.Counters.EgressOut.Packets));
        Assert.Equal(_lab.Counters.EgressIn.Bytes, _lab.Counters.EgressOut.Bytes);
        Assert.Empty(_lab.Device.Written);
    }

    [Fact]
    public void Process_TcpSuperPacketTooBig_CutsSmallerAndTellsTheSender()
    {
        var frame = new InnerFrame { Source = EgressLab.LocalV4, Destination = EgressLab.V4(2, 9), Payload = Pattern(14_480) };
        _lab.Deliver(frame.Unfinished(), frame.Offload(1448));
        _lab.Run();

        var stream = new List<byte>();
        foreach (byte[] segment in _lab.InnerFramesSent)
        {
            Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(segment.AsSpan(EthernetFrame.MinHeaderLength), out Ipv4Packet ip));
            Assert.True(ip.TotalLength <= Inside);
            Assert.Equal(WireStatus.Ok, TcpHeader.TryParse(ip.Payload, out TcpHeader tcp));
            Assert.Equal(frame.SequenceNumber + (uint)stream.Count, tcp.SequenceNumber);
            Assert.True(InternetChecksum.IsValid(InternetChecksum.Add(
                ip.Payload, InternetChecksum.PseudoHeaderV4(ip.Addresses, IpProtocols.Tcp, ip.Payload.Length))));
            stream.AddRange(tcp.Payload);
        }
        Assert.Equal(frame.Payload, stream);
        Assert.Equal(1, _lab.Counters.IcmpErrors);
        Assert.Equal(0, _lab.EgressDrops);
        Assert.Equal(_lab.Counters.EgressIn.Packets, _lab.Counters.EgressOut.Packets);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Process_TcpSegmentSentAgainToPeerWithoutAnswers_LeavesInPiecesAtLast(bool ipv6, bool unfinished)
    {
        _lab.B.Path.LinkMtu = 1500;
        _lab.B.Path.Repeats = new RepeatWatch();
        var frame = new InnerFrame
        {
            IsIpv6 = ipv6,
            Source = ipv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
            Destination = ipv6 ? EgressLab.V6(2, 9) : EgressLab.V4(2, 9),
            Flags = TcpFlags.Ack | TcpFlags.Psh,
            TcpOptions = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
            Payload = Pattern(ipv6 ? 1378 : 1398),
        };
        for (int i = 0; i < 3; i++) _lab.Deliver(unfinished ? frame.Unfinished() : frame.Finished(), unfinished ? frame.Offload(0) : default);
        _lab.Run();

        byte[][] sent = [.. _lab.InnerFramesSent];
        Assert.All(sent[..2], whole => Assert.Equal(frame.Finished()[frame.NetworkOffset..], whole[frame.NetworkOffset..]));
        var stream = new List<byte>();
        foreach (byte[] piece in sent[2..])
        {
            Assert.InRange(piece.Length + 8 + 28, 0, RepeatWatch.Smaller);
            ReadOnlySpan<byte> transport = piece.AsSpan(frame.TransportOffset);
            ulong pseudo = ipv6
                ? InternetChecksum.PseudoHeaderV6(piece.AsSpan(EthernetFrame.MinHeaderLength + 8, 32), IpProtocols.Tcp, transport.Length)
                : InternetChecksum.PseudoHeaderV4(piece.AsSpan(EthernetFrame.MinHeaderLength + 12, 8), IpProtocols.Tcp, transport.Length);
            Assert.True(InternetChecksum.IsValid(InternetChecksum.Add(transport, pseudo)));
            Assert.Equal(WireStatus.Ok, TcpHeader.TryParse(transport, out TcpHeader tcp));
            Assert.Equal(frame.SequenceNumber + (uint)stream.Count, tcp.SequenceNumber);
            stream.AddRange(tcp.Payload);
            Assert.Equal(stream.Count == frame.Payload.Length, tcp.Flags.HasFlag(TcpFlags.Psh));
        }
        Assert.Equal(2, sent.Length - 2);
        Assert.Equal(frame.Payload, stream);
        Assert.Equal((4, 4), (_lab.Counters.EgressIn.Packets, _lab.Counters.EgressOut.Packets));
        Assert.Equal(_lab.Counters.EgressIn.Bytes, _lab.Counters.EgressOut.Bytes);
        Assert.Empty(_lab.Device.Written);
    }

    [Fact]
    public void Process_SmallIpv6OverSmallPath_MayBeFragmentedOutside()
    {
        _lab.B.Path.LinkMtu = 1280;
        _lab.Deliver(Udp(1280 - 48, ipv6: true).Finished());
        _lab.Run();
        Assert.True(Assert.Single(_lab.Underlay.Sent).Train.MayFragment);
        Assert.Empty(_lab.Device.Written);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Process_ErrorAboutAnError_IsNotSent(bool ipv6)
    {
        byte[] frame = Udp(1372, ipv6).Finished();
        frame[EthernetFrame.MinHeaderLength + (ipv6 ? 6 : 9)] = ipv6 ? IpProtocols.Icmpv6 : IpProtocols.Icmpv4;
        frame[EthernetFrame.MinHeaderLength + (ipv6 ? Ipv6Packet.HeaderLength : Ipv4Packet.MinHeaderLength)] =
            ipv6 ? Icmpv6Types.TimeExceeded : Icmpv4Types.DestinationUnreachable;
        _lab.Deliver(frame);
        _lab.Run();
        Assert.Equal(1, _lab.Counters.Drops[(int)DropReason.EgressTooBig]);
        Assert.Empty(_lab.Device.Written);
    }

    [Fact]
    public void Process_ManyTooBig_LimitsTheErrors()
    {
        for (int i = 0; i < 2000; i++) _lab.Deliver(Udp(1372, ipv6: false).Finished());
        _lab.Run();
        Assert.Equal(2000, _lab.Counters.Drops[(int)DropReason.EgressTooBig]);
        Assert.InRange(_lab.Counters.IcmpErrors, 1, 1999);
        Assert.Equal(_lab.Counters.IcmpErrors, _lab.Device.Written.Count);
    }

    [Theory]
    [InlineData(false, false, 1460, Inside - 40)]
    [InlineData(false, true, 1460, Inside - 40)]
    [InlineData(true, false, 1440, Inside - 60)]
    [InlineData(true, true, 1440, Inside - 60)]
    [InlineData(false, false, 536, 536)]
    public void Process_Syn_ClampsTheMssToThePath(bool ipv6, bool unfinished, int offered, int expected)
    {
        byte[] options = [1, 2, 4, (byte)(offered >> 8), (byte)offered, 4, 2, 0];
        var frame = new InnerFrame
        {
            IsIpv6 = ipv6,
            Source = ipv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
            Destination = ipv6 ? EgressLab.V6(2, 9) : EgressLab.V4(2, 9),
            Payload = [],
            Flags = TcpFlags.Syn,
            TcpOptions = options,
        };
        _lab.Deliver(unfinished ? frame.Unfinished() : frame.Finished(), unfinished ? frame.Offload(0) : default);
        _lab.Run();

        byte[] sent = Assert.Single(_lab.InnerFramesSent);
        ReadOnlySpan<byte> transport = sent.AsSpan(frame.TransportOffset);
        Assert.Equal(expected, BinaryPrimitives.ReadUInt16BigEndian(transport[23..]));
        ReadOnlySpan<byte> addresses = ipv6
            ? sent.AsSpan(EthernetFrame.MinHeaderLength + 8, 32)
            : sent.AsSpan(EthernetFrame.MinHeaderLength + 12, 8);
        ulong pseudo = ipv6
            ? InternetChecksum.PseudoHeaderV6(addresses, IpProtocols.Tcp, transport.Length)
            : InternetChecksum.PseudoHeaderV4(addresses, IpProtocols.Tcp, transport.Length);
        Assert.True(InternetChecksum.IsValid(InternetChecksum.Add(transport, pseudo)));
    }

    private static InnerFrame Udp(int payload, bool ipv6) => new()
    {
        IsIpv6 = ipv6,
        IsUdp = true,
        Source = ipv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
        Destination = ipv6 ? EgressLab.V6(2, 9) : EgressLab.V4(2, 9),
        Payload = Pattern(payload),
    };

    private static byte[] Pattern(int length) => [.. Enumerable.Range(0, length).Select(i => (byte)(i * 7))];
}
