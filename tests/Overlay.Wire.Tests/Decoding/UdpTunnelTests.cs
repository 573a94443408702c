using Overlay.Wire.Decoding;
using static Overlay.Testing.Captures.TestFrames;

namespace Overlay.Wire.Tests.Decoding;

public sealed class UdpTunnelTests
{
    private static readonly byte[] InnerFrame = Inner(InnerIpv4());

    [Theory]
    [InlineData(4789, false)]
    [InlineData(4789, true)]
    [InlineData(8472, false)]
    [InlineData(8472, true)]
    public void Decode_Vxlan_GivesEveryField(int port, bool isIpv6)
    {
        DecodedFrame decoded = Decode.Frame(Datagram(Vxlan(InnerFrame, vni: 0xfedcba), port, isIpv6));

        Decode.HasOuter(decoded, TunnelKind.Vxlan, isIpv6, port);
        Decode.HasInner(decoded, InnerFrame.Length, isEthernet: true, isIpv6: false);
        Assert.Equal((0xfedcbau, (byte)8), (decoded.Vni, decoded.VxlanFlags));
        Assert.Equal((null, null, null, null, null), (decoded.GroupPolicyId, decoded.InnerProtocol, decoded.IsOam, decoded.HasCriticalOptions, decoded.Options));
        Assert.Null(decoded.Error);
    }

    [Fact]
    public void Decode_VxlanWithoutTheVniFlag_ShowsFlagsAndBitsWithoutError()
    {
        DecodedFrame decoded = Decode.Frame(Datagram(Vxlan(InnerFrame, vni: 7, flags: 0), 4789));

        Assert.Equal((7u, (byte)0, null), (decoded.Vni, decoded.VxlanFlags, decoded.Error));
    }

    [Theory]
    [InlineData(0x88, 0x1234)]
    [InlineData(0x80, 0x1234)]
    [InlineData(0x08, null)]
    [InlineData(0x48, null)]
    public void Decode_GroupPolicy_IsShownWithItsFlagOnly(byte flags, int? groupPolicy)
    {
        DecodedFrame decoded = Decode.Frame(Datagram(Vxlan(InnerFrame, flags: flags, groupPolicy: 0x1234), 4789));

        Assert.Equal(groupPolicy, decoded.GroupPolicyId);
        Assert.Null(decoded.Error);
    }

    [Theory]
    [InlineData(0x0c, 1, false, false)] // P flag: IPv4
    [InlineData(0x0c, 2, false, true)] // IPv6
    [InlineData(0x0c, 3, true, false)] // Ethernet
    [InlineData(0x0c, 4, false, null)] // NSH
    [InlineData(0x08, 1, true, false)] // no P flag: Ethernet
    [InlineData(0x8c, 3, true, false)] // the G flag means nothing here
    public void Decode_VxlanGpe_ReadsTheNextProtocol(byte flags, byte nextProtocol, bool isEthernet, bool? isIpv6)
    {
        byte[] inner = isEthernet ? InnerFrame : isIpv6 == true ? InnerIpv6() : InnerIpv4();
        DecodedFrame decoded = Decode.Frame(Datagram(Vxlan(inner, flags: flags, nextProtocol: nextProtocol), 4790));

        Decode.HasOuter(decoded, TunnelKind.VxlanGpe, isIpv6: false, 4790);
        Decode.HasInner(decoded, inner.Length, isEthernet, isIpv6);
        Assert.Equal((42u, flags, null, null), (decoded.Vni, decoded.VxlanFlags, decoded.GroupPolicyId, decoded.Error));
    }

    [Theory]
    [InlineData(EtherTypes.TransparentEthernet, true, false)]
    [InlineData(EtherTypes.Ipv4, false, false)]
    [InlineData(EtherTypes.Ipv6, false, true)]
    [InlineData(0x8847, false, null)]
    public void Decode_Geneve_GivesEveryField(int protocolType, bool isEthernet, bool? isIpv6)
    {
        byte[] inner = isEthernet ? InnerFrame : isIpv6 == true ? InnerIpv6() : InnerIpv4();
        byte[] options = [.. GeneveOption(0x0102, 0x80, 1, 2, 3, 4, 0xfa, 0xfb, 0xfc, 0xfd), .. GeneveOption(0xffff, 3)];
        DecodedFrame decoded = Decode.Frame(Datagram(Geneve(inner, 0xffffff, protocolType, options, isControl: true), 6081, isIpv6: true));

        Decode.HasOuter(decoded, TunnelKind.Geneve, isIpv6: true, 6081);
        Decode.HasInner(decoded, inner.Length, isEthernet, isIpv6);
        Assert.Equal((0xffffffu, (ushort)protocolType, true, true), (decoded.Vni, decoded.InnerProtocol, decoded.IsOam, decoded.HasCriticalOptions));
        Assert.Equal(["258/128/01020304fafbfcfd", "65535/3/"], Options(decoded));
        Assert.Equal((null, null, null), (decoded.VxlanFlags, decoded.GroupPolicyId, decoded.Error));
    }

    [Fact]
    public void Decode_GeneveWithoutOptions_HasAnEmptyList()
    {
        DecodedFrame decoded = Decode.Frame(Datagram(Geneve(InnerFrame), 6081));

        Assert.Equal((false, false, null), (decoded.IsOam, decoded.HasCriticalOptions, decoded.Error));
        Assert.Empty(decoded.Options!);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Decode_OtherGeneveVersion_LeavesTheHeaderUnknown(int version)
    {
        byte[] datagram = Geneve(InnerFrame);
        datagram[0] |= (byte)(version << 6);
        DecodedFrame decoded = Decode.Frame(Datagram(datagram, 6081));

        Decode.HasOuter(decoded, TunnelKind.Geneve, isIpv6: false, 6081);
        Assert.Equal($"Geneve version {version} is not 0", decoded.Error);
        Assert.Equal((null, null, null, null, null), (decoded.Vni, decoded.InnerLength, decoded.InnerProtocol, decoded.Options, decoded.InnerSource));
    }

    [Fact]
    public void Decode_GeneveOptionsPastTheDatagram_IsAnErrorWithTheFixedHeader()
    {
        byte[] datagram = Geneve([], options: GeneveOption(1, 2, 3, 4, 5, 6));
        datagram[0] = 3;
        DecodedFrame decoded = Decode.Frame(Datagram(datagram, 6081));

        Assert.Equal("Geneve options of 12 bytes are past the datagram of 16", decoded.Error);
        Assert.Equal((42u, null), (decoded.Vni, decoded.InnerLength));
        Assert.Equal(["1/2/03040506"], Options(decoded));
    }

    [Fact]
    public void Decode_GeneveOptionsPastTheDatagramButWithinThePadding_IsAnError()
    {
        byte[] datagram = Geneve(new byte[4]);
        datagram[0] = 2;
        byte[] frame = [.. Datagram(datagram, 6081), .. new byte[18]];

        Assert.Equal("Geneve options of 8 bytes are past the datagram of 12", Decode.Frame(frame).Error);
    }

    [Theory]
    [InlineData(2)] // the option says 8 bytes of data where 4 are left
    [InlineData(0)] // the option says none, and the rest is a second option with 16
    public void Decode_GeneveOptionsThatDoNotAddUp_IsAnErrorWithTheInner(byte length)
    {
        byte[] datagram = Geneve(InnerFrame, options: GeneveOption(1, 2, 0, 0, 0, 4));
        datagram[11] = length;
        DecodedFrame decoded = Decode.Frame(Datagram(datagram, 6081));

        Assert.StartsWith("Geneve options do not add up to their length", decoded.Error, StringComparison.Ordinal);
        Decode.HasInner(decoded, InnerFrame.Length, isEthernet: true, isIpv6: false);
        Assert.Equal(length == 0 ? ["1/2/"] : [], Options(decoded));
    }

    [Fact]
    public void Decode_InnerWithVlanTags_FindsItsAddresses()
    {
        byte[] inner = Inner(InnerIpv6(), EtherTypes.Ipv6, new VlanTag(EtherTypes.ProviderVlan, 1), new(0x9100, 2), new(EtherTypes.Vlan, 3));

        Decode.HasInner(Decode.Frame(Datagram(Vxlan(inner), 4789)), inner.Length, isEthernet: true, isIpv6: true);
    }

    [Fact]
    public void Decode_TunnelInTunnel_ShowsTheOutermost()
    {
        byte[] nested = Inner(Ipv4(Udp(Geneve(InnerFrame, vni: 9), 6081), IpProtocols.Udp, InnerSourceV4, InnerDestinationV4));
        DecodedFrame decoded = Decode.Frame(Datagram(Vxlan(nested, vni: 5), 4789));

        Assert.Equal((TunnelKind.Vxlan, 5u), (decoded.Tunnel, decoded.Vni));
        Decode.HasInner(decoded, nested.Length, isEthernet: true, isIpv6: false);
    }

    [Fact]
    public void Decode_InnerNonsense_IsNoError()
    {
        byte[] inner = Inner([0x45, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0]);
        DecodedFrame decoded = Decode.Frame(Datagram(Vxlan(inner), 4789));

        Decode.HasInner(decoded, inner.Length, isEthernet: true, isIpv6: null);
        Assert.Null(decoded.Error);
        DecodedFrame wrongVersion = Decode.Frame(Datagram(Vxlan(Inner(InnerIpv6())), 4789));
        Assert.Equal((null, null), (wrongVersion.InnerSource, wrongVersion.Error));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(13)]
    public void Decode_InnerShorterThanEthernet_HasALengthOnly(int length)
    {
        DecodedFrame decoded = Decode.Frame(Datagram(Vxlan(new byte[length]), 4789));

        Assert.Equal((length, null, null), (decoded.InnerLength, decoded.InnerEthernetSource, decoded.Error));
    }

    [Fact]
    public void Decode_PaddingBehindTheDatagram_IsNoInner()
    {
        byte[] frame = [.. Datagram(Vxlan(InnerFrame[..20]), 4789), .. InnerFrame[20..]];
        DecodedFrame decoded = Decode.Frame(frame);

        Assert.Equal((20, null, null), (decoded.InnerLength, decoded.InnerSource, decoded.Error));
    }

    [Theory]
    [InlineData(53)]
    [InlineData(4788)]
    public void Decode_OtherPort_HasNoTunnel(int port)
    {
        DecodedFrame decoded = Decode.Frame(Datagram(Vxlan(InnerFrame), port));

        Decode.HasNoTunnel(decoded);
        Assert.Null(decoded.Error);
    }

    [Fact]
    public void Decode_SourcePortOfATunnel_HasNoTunnel() =>
        Decode.HasNoTunnel(Decode.Frame(Outer(OuterIpv4(Udp(Vxlan(InnerFrame), 50_000, sourcePort: 4789), IpProtocols.Udp))));

    [Fact]
    public void Decode_AddedPorts_CarryTheirEncapsulation()
    {
        var ports = new TunnelPorts();
        Assert.True(ports.TryAdd(1, TunnelKind.Vxlan) && ports.TryAdd(2, TunnelKind.VxlanGpe) && ports.TryAdd(65_535, TunnelKind.Geneve));
        Assert.True(ports.TryAdd(1, TunnelKind.Vxlan));
        Assert.False(ports.TryAdd(1, TunnelKind.Geneve));
        Assert.True(ports.TryAdd(8472, TunnelKind.Geneve));

        Assert.Equal(TunnelKind.Vxlan, Decode.Frame(Datagram(Vxlan(InnerFrame), 1), ports).Tunnel);
        Assert.Equal(TunnelKind.VxlanGpe, Decode.Frame(Datagram(Vxlan(InnerFrame), 2), ports).Tunnel);
        Assert.Equal(TunnelKind.Geneve, Decode.Frame(Datagram(Geneve(InnerFrame), 65_535), ports).Tunnel);
        Assert.Equal(TunnelKind.Geneve, Decode.Frame(Datagram(Geneve(InnerFrame), 8472), ports).Tunnel);
        Assert.Equal(TunnelKind.Vxlan, Decode.Frame(Datagram(Vxlan(InnerFrame), 4789), ports).Tunnel);
    }

    private static byte[] Datagram(byte[] payload, int port, bool isIpv6 = false) => isIpv6
        ? Outer(OuterIpv6(Udp(payload, port), IpProtocols.Udp), EtherTypes.Ipv6)
        : Outer(OuterIpv4(Udp(payload, port), IpProtocols.Udp));

    private static IEnumerable<string> Options(DecodedFrame decoded) =>
        decoded.Options!.Select(option => $"{option.Class}/{option.Type}/{Convert.ToHexStringLower(option.Data.Span)}");
}
