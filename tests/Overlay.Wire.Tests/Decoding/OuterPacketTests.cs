using System.Net;
using Overlay.Testing.Captures;
using Overlay.Wire.Decoding;
using static Overlay.Testing.Captures.TestFrames;

namespace Overlay.Wire.Tests.Decoding;

public sealed class OuterPacketTests
{
    private const byte EncapsulatedV4 = IpProtocols.Ipv4InIp;
    private const byte EncapsulatedV6 = IpProtocols.Ipv6InIp;

    private static readonly byte[] Tunnel = Udp(Vxlan(Inner(InnerIpv4())), 4789);
    private static readonly int InnerLength = Inner(InnerIpv4()).Length;

    [Theory]
    [InlineData(false, false, TunnelKind.Ipv4InIpv4)]
    [InlineData(false, true, TunnelKind.Ipv6InIpv4)]
    [InlineData(true, false, TunnelKind.Ipv4InIpv6)]
    [InlineData(true, true, TunnelKind.Ipv6InIpv6)]
    public void Decode_IpInIp_GivesEveryField(bool isOuterIpv6, bool isInnerIpv6, TunnelKind kind)
    {
        byte[] inner = isInnerIpv6 ? InnerIpv6() : InnerIpv4();
        int protocol = isInnerIpv6 ? EncapsulatedV6 : EncapsulatedV4;
        byte[] frame = isOuterIpv6 ? Outer(OuterIpv6(inner, protocol), EtherTypes.Ipv6) : Outer(OuterIpv4(inner, protocol));
        DecodedFrame decoded = Decode.Frame([.. frame, 1, 2, 3]);

        Decode.HasOuter(decoded, kind, isOuterIpv6, destinationPort: null);
        Decode.HasInner(decoded, inner.Length, isEthernet: false, isInnerIpv6);
        Assert.Equal((null, null, null, null), (decoded.Vni, decoded.VxlanFlags, decoded.Options, decoded.Error));
    }

    [Theory]
    [InlineData(0x9100)]
    [InlineData(EtherTypes.ProviderVlan)]
    [InlineData(EtherTypes.Vlan)]
    public void Decode_AnyVlanTags_AreSkipped(int protocol)
    {
        VlanTag[] tags = [.. Enumerable.Repeat(new VlanTag((ushort)protocol, 5), 4), new(EtherTypes.Vlan, 6)];
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(Tunnel, IpProtocols.Udp), EtherTypes.Ipv4, tags));

        Decode.HasOuter(decoded, TunnelKind.Vxlan, isIpv6: false, 4789);
        Decode.HasInner(decoded, InnerLength, isEthernet: true, isIpv6: false);
    }

    [Fact]
    public void Decode_Ipv4Options_AreSkipped()
    {
        byte[] options = new byte[40];
        options.AsSpan().Fill(1);
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(Tunnel, IpProtocols.Udp, options: options)));

        Decode.HasInner(decoded, InnerLength, isEthernet: true, isIpv6: false);
        Assert.Null(decoded.Error);
    }

    [Fact]
    public void Decode_Ipv6ExtensionHeaders_AreSkipped()
    {
        byte[] chain = Extension(IpProtocols.Udp, 0, 8, Tunnel);
        chain = Extension(IpProtocols.DestinationOptions, 4, 24, chain); // authentication header, counted in words
        chain = Fragment(IpProtocols.AuthenticationHeader, 0, hasMore: false, chain); // atomic
        chain = Extension(IpProtocols.Fragment, 2, 24, chain);
        chain = Extension(IpProtocols.Routing, 0, 8, chain);
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv6(chain, IpProtocols.HopByHop), EtherTypes.Ipv6));

        Decode.HasOuter(decoded, TunnelKind.Vxlan, isIpv6: true, 4789);
        Decode.HasInner(decoded, InnerLength, isEthernet: true, isIpv6: false);
        Assert.Null(decoded.Error);
    }

    [Fact]
    public void Decode_Ipv4InIpv6WithEncapsulationLimit_CountsFromBehindTheOption()
    {
        byte[] packet = OuterIpv6(Extension(EncapsulatedV4, 0, 8, InnerIpv4()), IpProtocols.DestinationOptions);
        DecodedFrame decoded = Decode.Frame(Outer(packet, EtherTypes.Ipv6));

        Decode.HasOuter(decoded, TunnelKind.Ipv4InIpv6, isIpv6: true, destinationPort: null);
        Decode.HasInner(decoded, InnerIpv4().Length, isEthernet: false, isIpv6: false);
    }

    [Theory]
    [InlineData(IpProtocols.EncapsulatingSecurity)]
    [InlineData(IpProtocols.NoNextHeader)]
    [InlineData(IpProtocols.Tcp)]
    public void Decode_OtherProtocol_HasNoTunnel(byte protocol)
    {
        foreach (byte[] frame in new[] { Outer(OuterIpv4(Tunnel, protocol)), Outer(OuterIpv6(Tunnel, protocol), EtherTypes.Ipv6) })
        {
            DecodedFrame decoded = Decode.Frame(frame);
            Decode.HasNoTunnel(decoded);
            Assert.Null(decoded.Error);
        }
    }

    [Theory]
    [InlineData(IpProtocols.AuthenticationHeader)]
    [InlineData(IpProtocols.DestinationOptions)]
    public void Decode_Ipv6ExtensionHeaderUnderIpv4_HasNoTunnel(byte protocol) =>
        Decode.HasNoTunnel(Decode.Frame(Outer(OuterIpv4(Extension(IpProtocols.Udp, 0, 8, Tunnel), protocol))));

    [Theory]
    [InlineData(EtherTypes.Arp)]
    [InlineData(0x0040)] // length of an IEEE 802.3 frame
    [InlineData(0x8847)]
    public void Decode_OtherEtherType_HasNoTunnel(int etherType)
    {
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(Tunnel, IpProtocols.Udp), etherType));

        Decode.HasNoTunnel(decoded);
        Assert.Null(decoded.Error);
    }

    [Theory]
    [InlineData(0x0001)]
    [InlineData(0x2001)]
    [InlineData(0x1fff)]
    public void Decode_LaterFragment_HasNoTunnel(int fragmentWord)
    {
        foreach (byte protocol in new byte[] { IpProtocols.Udp, EncapsulatedV4, EncapsulatedV6 })
        {
            DecodedFrame v4 = Decode.Frame(Outer(OuterIpv4(Tunnel, protocol, fragmentWord: fragmentWord)));
            byte[] chain = Fragment(protocol, (fragmentWord & 0x1fff) * 8, hasMore: true, Tunnel);
            DecodedFrame v6 = Decode.Frame(Outer(OuterIpv6(chain, IpProtocols.Fragment), EtherTypes.Ipv6));

            Decode.HasNoTunnel(v4);
            Decode.HasNoTunnel(v6);
            Assert.Equal((null, null), (v4.Error, v6.Error));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Decode_FirstFragmentOfADatagram_HasTheTunnelAndItsWholeLength(bool isIpv6)
    {
        byte[] datagram = Udp(Vxlan(Inner(InnerIpv4(2000))), 4789);
        byte[] frame = isIpv6
            ? Outer(OuterIpv6(Fragment(IpProtocols.Udp, 0, hasMore: true, datagram[..1400]), IpProtocols.Fragment), EtherTypes.Ipv6)
            : Outer(OuterIpv4(datagram[..1400], IpProtocols.Udp, fragmentWord: 0x2000));
        DecodedFrame decoded = Decode.Frame(frame);

        Decode.HasOuter(decoded, TunnelKind.Vxlan, isIpv6, 4789);
        Decode.HasInner(decoded, Inner(InnerIpv4(2000)).Length, isEthernet: true, isIpv6: false);
        Assert.Equal($"UDP length {datagram.Length} is past the IP payload of 1400", decoded.Error);
    }

    [Fact]
    public void Decode_FirstFragmentWithoutATunnel_IsNoError()
    {
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(Udp(new byte[2000], 53)[..1400], IpProtocols.Udp, fragmentWord: 0x2000)));

        Decode.HasNoTunnel(decoded);
        Assert.Null(decoded.Error);
    }

    [Fact]
    public void Decode_FirstFragmentOfIpInIp_HasItsOwnLength()
    {
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(InnerIpv4(), EncapsulatedV4, fragmentWord: 0x2000)));

        Assert.Equal((TunnelKind.Ipv4InIpv4, InnerIpv4().Length, null), (decoded.Tunnel, decoded.InnerLength, decoded.Error));
        Assert.Equal(IPAddress.Parse(InnerSourceV4), decoded.InnerSource);
    }

    [Fact]
    public void Decode_FirstFragmentThatEndsInsideTheTunnelHeader_IsAnError()
    {
        DecodedFrame decoded = Decode.Frame(Outer(OuterIpv4(Tunnel[..8], IpProtocols.Udp, fragmentWord: 0x2000)));

        Assert.Equal((TunnelKind.Vxlan, null), (decoded.Tunnel, decoded.Vni));
        Assert.Equal($"UDP length {Tunnel.Length} is past the IP payload of 8", decoded.Error);
    }

    [Fact]
    public void Decode_OtherLinkType_HasNoTunnel()
    {
        DecodedFrame decoded = Decode.Frame(new CaptureRecord(OuterIpv4(Tunnel, IpProtocols.Udp)), linkType: 101);

        Decode.HasNoTunnel(decoded);
        Assert.Null(decoded.Error);
    }
}
