using Overlay.Testing.Captures;
using Overlay.Wire.Decoding;
using static Overlay.Testing.Captures.TestFrames;

namespace Overlay.Wire.Tests.Decoding;

public sealed class UnsoundLengthTests
{
    private static readonly byte[] InnerFrame = Inner(InnerIpv4());
    private static readonly byte[] Tunnel = Udp(Vxlan(InnerFrame), 4789);

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    public void Decode_UdpLengthUnderTheHeader_IsAnErrorWithTheOuter(int length)
    {
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(Udp(Vxlan(InnerFrame), 4789, length), IpProtocols.Udp)));

        Decode.HasOuter(decoded, TunnelKind.Vxlan, isIpv6: false, 4789);
        Assert.Equal($"UDP length {length} is under 8", decoded.Error);
        Assert.Equal((null, null, null), (decoded.Vni, decoded.InnerLength, decoded.InnerSource));
    }

    [Theory]
    [InlineData(8)]
    [InlineData(15)]
    public void Decode_DatagramShorterThanTheTunnelHeader_IsAnError(int length)
    {
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(Udp(Vxlan(InnerFrame), 4789, length), IpProtocols.Udp)));

        Assert.Equal($"VXLAN header incomplete: {length - 8} of 8 bytes", decoded.Error);
        Assert.Equal((TunnelKind.Vxlan, null, null, null), (decoded.Tunnel, decoded.Vni, decoded.VxlanFlags, decoded.InnerLength));
    }

    [Fact]
    public void Decode_UdpLengthUnderTheIpPayload_Counts()
    {
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(Udp(Vxlan(InnerFrame), 4789, 16 + 14), IpProtocols.Udp)));

        Assert.Equal((14, null, null), (decoded.InnerLength, decoded.InnerSource, decoded.Error));
    }

    [Fact]
    public void Decode_UdpLengthPastTheIpPayload_IsAnErrorWithTheHeader()
    {
        byte[] frame = [.. Outer(OuterIpv4(Udp(Vxlan(InnerFrame), 4789, Tunnel.Length + 1), IpProtocols.Udp)), .. new byte[10]];
        DecodedFrame decoded = Decode.Frame(frame);

        Assert.Equal($"UDP length {Tunnel.Length + 1} is past the IP payload of {Tunnel.Length}", decoded.Error);
        Assert.Equal((42u, null), (decoded.Vni, decoded.InnerLength));
    }

    [Fact]
    public void Decode_UnsoundUdpWithoutATunnel_IsAnErrorToo()
    {
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(Udp([1, 2, 3], 53, 4), IpProtocols.Udp)));

        Decode.HasNoTunnel(decoded);
        Assert.Equal("UDP length 4 is under 8", decoded.Error);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Decode_IpLengthPastTheFrame_IsAnErrorUnlessTheCaptureCutIt(bool isIpv6)
    {
        byte[] whole = isIpv6 ? Outer(OuterIpv6(Tunnel, IpProtocols.Udp), EtherTypes.Ipv6) : Outer(OuterIpv4(Tunnel, IpProtocols.Udp));
        byte[] shorter = whole[..^1];

        DecodedFrame past = Decode.Frame(shorter);
        Assert.Contains("is past the frame, which has", past.Error, StringComparison.Ordinal);
        Assert.Equal((42u, InnerFrame.Length), (past.Vni, past.InnerLength));

        DecodedFrame cut = Decode.Frame(new CaptureRecord(shorter, whole.Length));
        Assert.Equal((42u, InnerFrame.Length, null), (cut.Vni, cut.InnerLength, cut.Error));

        DecodedFrame cutAndPast = Decode.Frame(new CaptureRecord(whole[..^5], whole.Length - 1));
        Assert.Contains("is past the frame, which has", cutAndPast.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(19)]
    public void Decode_TotalLengthUnderTheHeader_LeavesIpInIpAnIncompleteHeader(int totalLength)
    {
        DecodedFrame udp = Decode.Frame(Outer(OuterIpv4(Tunnel, IpProtocols.Udp, totalLength)));
        DecodedFrame ipInIp = Decode.Frame(Outer(OuterIpv4(InnerIpv4(), IpProtocols.Ipv4InIp, totalLength)));

        string error = $"IPv4 total length {totalLength} is under the header's 20";
        Assert.Equal((TunnelKind.None, null), (udp.Tunnel, udp.Error));
        Assert.Equal((TunnelKind.Ipv4InIpv4, error, null, null), (ipInIp.Tunnel, ipInIp.Error, ipInIp.InnerLength, ipInIp.InnerSource));
    }

    [Fact]
    public void Decode_TotalLengthZero_EndsWithTheFrame()
    {
        DecodedFrame udp = Decode.Frame(Outer(OuterIpv4(Tunnel, IpProtocols.Udp, totalLength: 0)));
        DecodedFrame past = Decode.Frame(Outer(OuterIpv4(Tunnel[..^1], IpProtocols.Udp, totalLength: 0)));
        DecodedFrame ipInIp = Decode.Frame(Outer(OuterIpv4(InnerIpv4(), IpProtocols.Ipv4InIp, totalLength: 0)));

        Decode.HasInner(udp, InnerFrame.Length, isEthernet: true, isIpv6: false);
        Assert.Equal((42u, null), (udp.Vni, udp.Error));
        Assert.Equal($"UDP length {Tunnel.Length} is past the IP payload of {Tunnel.Length - 1}", past.Error);
        Assert.Equal((TunnelKind.Ipv4InIpv4, null, null), (ipInIp.Tunnel, ipInIp.Error, ipInIp.InnerLength));
        Assert.Equal(InnerSourceV4, ipInIp.InnerSource?.ToString());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Decode_Jumbogram_HasTheLengthOfItsOption(bool isUdp)
    {
        const int payload = 70_000;
        byte next = isUdp ? IpProtocols.Udp : IpProtocols.Ipv4InIp;
        byte[] upper = isUdp ? Udp(Vxlan(InnerFrame), 4789, length: 0) : InnerIpv4();
        byte[] packet = OuterIpv6([next, 0, 0xc2, 4, 0, 1, 0x11, 0x70, .. upper], IpProtocols.HopByHop, payloadLength: 0); // 70,000
        DecodedFrame decoded = Decode.Frame(new CaptureRecord(Outer(packet, EtherTypes.Ipv6), 14 + 40 + payload));

        Assert.Equal((isUdp ? TunnelKind.Vxlan : TunnelKind.Ipv4InIpv6, null), (decoded.Tunnel, decoded.Error));
        Assert.Equal(payload - 8 - (isUdp ? 16 : 0), decoded.InnerLength);
        Assert.Equal(InnerSourceV4, decoded.InnerSource?.ToString());
        DecodedFrame past = Decode.Frame(new CaptureRecord(Outer(packet, EtherTypes.Ipv6), 14 + 40 + payload - 1));
        Assert.Equal($"IPv6 payload length {payload} is past the frame, which has {40 + payload - 1} bytes for the packet", past.Error);
    }

    [Theory]
    [InlineData(20, null, TunnelKind.None)] // no port yet, so no tunnel
    [InlineData(23, null, TunnelKind.None)]
    [InlineData(24, "UDP header incomplete: 4 of 8 bytes", TunnelKind.Vxlan)]
    [InlineData(27, "UDP header incomplete: 7 of 8 bytes", TunnelKind.Vxlan)]
    [InlineData(28, "UDP length 62 is past the IP payload of 8", TunnelKind.Vxlan)]
    public void Decode_IpPayloadShorterThanItsHeaders_IsAnErrorOnceThePortIsThere(int totalLength, string? error, TunnelKind kind)
    {
        byte[] tunnel = Udp(Vxlan(InnerFrame[..46]), 4789);
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(tunnel, IpProtocols.Udp, totalLength)));

        Assert.Equal((kind, error, null), (decoded.Tunnel, decoded.Error, decoded.Vni));
    }

    [Fact]
    public void Decode_HeaderLengthUnder20_HasNoTunnel()
    {
        byte[] packet = OuterIpv4(Tunnel, IpProtocols.Udp);
        packet[0] = 0x44;

        DecodedFrame decoded = Decode.Frame(Outer(packet));
        Decode.HasNoTunnel(decoded);
        Assert.Null(decoded.Error);
    }

    [Fact]
    public void Decode_VersionThatTheEtherTypeContradicts_HasNoTunnel()
    {
        foreach (byte[] frame in new[] { Outer(OuterIpv6(Tunnel, IpProtocols.Udp)), Outer(OuterIpv4(Tunnel, IpProtocols.Udp), EtherTypes.Ipv6) })
        {
            DecodedFrame decoded = Decode.Frame(frame);
            Decode.HasNoTunnel(decoded);
            Assert.Null(decoded.Error);
        }
    }

    [Theory]
    [InlineData(0, 4)]
    [InlineData(255, 16)]
    public void Decode_ExtensionHeadersPastThePayload_HaveNoTunnel(int lengthField, int payloadLength)
    {
        byte[] packet = OuterIpv6(Extension(IpProtocols.Udp, lengthField, 8, Tunnel), IpProtocols.DestinationOptions, payloadLength);
        DecodedFrame decoded = Decode.Frame(Outer(packet, EtherTypes.Ipv6));

        Decode.HasNoTunnel(decoded);
        Assert.Null(decoded.Error);
    }

    [Fact]
    public void Decode_FrameCutAtEveryByte_IsSoundFromTheEndOfTheTunnelHeaderOn()
    {
        byte[] options = [.. GeneveOption(1, 2, 3, 4, 5, 6), .. GeneveOption(7, 8)];
        (byte[] Frame, int HeaderEnd)[] frames =
        [
            (Outer(OuterIpv4(Tunnel, IpProtocols.Udp)), 14 + 20 + 16),
            (Outer(OuterIpv6(Tunnel, IpProtocols.Udp), EtherTypes.Ipv6, new VlanTag(EtherTypes.Vlan, 1)), 18 + 40 + 16),
            (Outer(OuterIpv4(Udp(Geneve(InnerFrame, options: options), 6081), IpProtocols.Udp, options: new byte[8])), 14 + 28 + 16 + 12),
            (Outer(OuterIpv4(InnerIpv6(), IpProtocols.Ipv6InIp)), 14 + 20),
            (Outer(OuterIpv6(Extension(4, 1, 16, InnerIpv4()), IpProtocols.Routing), EtherTypes.Ipv6), 14 + 40 + 16),
        ];
        foreach ((byte[] frame, int headerEnd) in frames)
        {
            DecodedFrame whole = Decode.Frame(frame);
            Assert.Null(whole.Error);
            for (int kept = 0; kept < frame.Length; kept++)
            {
                DecodedFrame cut = Decode.Frame(new CaptureRecord(frame).CutTo(kept));
                DecodedFrame shorter = Decode.Frame(frame[..kept]);

                Assert.Equal(cut.Tunnel != TunnelKind.None && kept < headerEnd, cut.Error is not null);
                if (shorter.Tunnel != TunnelKind.None) Assert.NotNull(shorter.Error);
                if (kept < headerEnd) continue;
                Assert.Equal((whole.Tunnel, whole.Vni, whole.InnerLength), (cut.Tunnel, cut.Vni, cut.InnerLength));
                Assert.Equal((whole.Tunnel, whole.Vni, whole.InnerLength), (shorter.Tunnel, shorter.Vni, shorter.InnerLength));
            }
        }
    }

    [Theory]
    [InlineData(14 + 20 + 6, false)] // not yet the UDP length
    [InlineData(14 + 20 + 8, true)]
    [InlineData(14 + 20 + 15, true)]
    public void Decode_CaptureCutInsideTheTunnelHeader_KnowsTheInnerLengthFromTheUdpLength(int kept, bool isKnown)
    {
        DecodedFrame decoded = Decode.Frame(new CaptureRecord(Outer(OuterIpv4(Tunnel, IpProtocols.Udp))).CutTo(kept));

        Assert.Equal((TunnelKind.Vxlan, isKnown ? InnerFrame.Length : null), (decoded.Tunnel, decoded.InnerLength));
        Assert.Contains("incomplete", decoded.Error, StringComparison.Ordinal);
    }
}
