using Overlay.Agent.Configuration;
using Overlay.Dataplane.Tunnels;

namespace Overlay.Agent.Tests.Configuration;

public sealed class TunnelConfigurationTests
{
    private const string Tunnel = "  encapsulation: vxlan\n";
    private const string Segment = "    vni: 42\n";

    [Fact]
    public void Parse_NothingSaid_IsVxlanWithChecksums()
    {
        OverlaydOptions options = SampleConfiguration.Read();

        Assert.Equal([(Encapsulation.Vxlan, 4789)], options.Ports);
        Assert.True(options.Tunnel.Checksum);
        Assert.Empty(options.Tunnel.ZeroChecksumIPv6);
        Assert.False(options.Segments[0].Tunnel.BareIp);
    }

    [Fact]
    public void Parse_GeneveInstead_IsThePortsDefault()
    {
        OverlaydOptions options = SampleConfiguration.Read(
            "{ node: n, underlay: { interface: eth0 }, tunnel: { encapsulation: geneve }, segments: [ { name: s, vni: 1, device: d } ] }");

        Assert.Equal([(Encapsulation.Geneve, 6081)], options.Ports);
        Assert.Equal(6081, options.Underlay.Port.Value);
        Assert.Equal(Encapsulation.Geneve, options.Segments[0].Tunnel.Encapsulation.Value);
    }

    [Fact]
    public void Parse_BothAccepted_ListensOnBothPorts()
    {
        OverlaydOptions options = SampleConfiguration.Read(
            SampleConfiguration.With(Tunnel, Tunnel + "  accept: [geneve, vxlan]\n  genevePort: 16081\n"));

        Assert.Equal([(Encapsulation.Vxlan, 4789), (Encapsulation.Geneve, 16081)], options.Ports);
    }

    [Fact]
    public void Parse_SegmentInAnotherEncapsulation_ListensThereToo()
    {
        OverlaydOptions options = SampleConfiguration.Read(SampleConfiguration.With(
            Segment, Segment + "    encapsulation: geneve\n    payload: ip\n    options: [ { class: 0x0102, type: 0x83, data: \"0a0b0C0D\" }, { class: 3, type: 4 } ]\n"));

        SegmentTunnelOptions tunnel = options.Segments[0].Tunnel;
        Assert.Equal([(Encapsulation.Vxlan, 4789), (Encapsulation.Geneve, 6081)], options.Ports);
        Assert.True(tunnel.BareIp);
        Assert.Equal([(0x102, 0x83, 4), (3, 4, 0)], tunnel.GeneveOptions.Select(option => (option.Class.Value, option.Type.Value, option.Data.Value.Length)));
    }

    [Theory]
    [InlineData("ttl: 64", "ttl: copy")]
    [InlineData("trafficClass: 0", "trafficClass: copy")]
    public void Parse_Copy_IsNoNumber(string find, string replacement)
    {
        UnderlayOptions underlay = SampleConfiguration.Read(SampleConfiguration.With(find, replacement)).Underlay;

        Assert.True(underlay.Ttl.Value is null || underlay.TrafficClass.Value is null);
    }

    [Theory]
    [InlineData("", null)]
    [InlineData("  mssClamp: auto\n", null)]
    [InlineData("  mssClamp: off\n", 0)]
    [InlineData("  mssClamp: 28\n", 28)]
    [InlineData("  mssClamp: 65535\n", 65535)]
    public void Parse_MssClamp_IsAutoUnlessGiven(string line, int? expected) =>
        Assert.Equal(expected, SampleConfiguration.Read(SampleConfiguration.With(Tunnel, Tunnel + line)).Tunnel.MssClamp.Value);

    [Theory]
    [InlineData("", true)]
    [InlineData("  fragment: inner\n", true)]
    [InlineData("  fragment: drop\n", false)]
    public void Parse_Fragment_IsInnerUnlessGiven(string line, bool expected) =>
        Assert.Equal(expected, SampleConfiguration.Read(SampleConfiguration.With(Tunnel, Tunnel + line)).Tunnel.FragmentsInner.Value);

    [Theory]
    [InlineData("", 4)]
    [InlineData("  encapsulationLimit: 0\n", 0)]
    [InlineData("  encapsulationLimit: 255\n", 255)]
    [InlineData("  encapsulationLimit: none\n", null)]
    public void Parse_EncapsulationLimit_IsFourUnlessGiven(string line, int? expected) => Assert.Equal(
        expected, SampleConfiguration.Read(SampleConfiguration.With(Tunnel, $"{Tunnel}  accept: [ipip]\n  ipipSegment: pods\n{line}")).Tunnel.NestedTunnels);

    [Theory]
    [InlineData("  accept: [ipip]", "ipip is accepted, and its packets do not say for which of 2 segments they are; name it with 'ipipSegment: pods'")]
    [InlineData("  accept: [ipip]\n  ipipSegment: lap", "ipipSegment 'lap' is not listed; did you mean 'lab'?")]
    [InlineData("  ipipSegment: lab", "ipipSegment 'lab' has no use: ipip is neither sent nor accepted; leave it out, or write 'accept: [ipip]'")]
    [InlineData("  encapsulationLimit: 4", "encapsulationLimit is that of ipip, which is neither sent nor accepted; leave it out, or write 'accept: [ipip]'")]
    public void Parse_IpInIpWithTwoSegments_IsRefusedUnlessOneIsNamed(string lines, string expected) => Assert.Contains(
        SampleConfiguration.Refusals(TwoSegments(lines, "vxlan")), refusal => refusal.Contains(expected, StringComparison.Ordinal));

    [Fact]
    public void Parse_IpInIpSegmentNamed_GetsWhatArrivesUntilAnotherSendsIt()
    {
        const string named = "  accept: [ipip]\n  ipipSegment: lab";

        Assert.Equal("lab", SampleConfiguration.Read(TwoSegments(named, "vxlan")).IpInIpSegment?.Name.Value);
        Assert.Equal("lab", SampleConfiguration.Read(TwoSegments(named, "ipip")).IpInIpSegment?.Name.Value);
        Assert.Equal("lab", SampleConfiguration.Read(TwoSegments("", "ipip")).IpInIpSegment?.Name.Value);
        Assert.Contains(
            SampleConfiguration.Refusals(TwoSegments(named.Replace("lab", "pods", StringComparison.Ordinal), "ipip")),
            refusal => refusal.Contains("ipipSegment 'pods' contradicts segment 'lab', which sends in ipip", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("  accept: [gre]", 13, "'gre' is not known; write vxlan or geneve or ipip")]
    [InlineData("  vxlanPort: 4790", 13, "vxlanPort 4790 is the port of the tunnel's own encapsulation; write it as 'underlay: port'")]
    [InlineData("  genevePort: 4789", 13, "port 4789 is that of 'underlay: port' too; give each encapsulation a port of its own")]
    [InlineData("  genevePort: 0", 13, "'0' is no whole number from 1 to 65535")]
    [InlineData("  checksum: zero", 13, "'zero' is neither true nor false")]
    [InlineData("  zeroChecksumIPv6: [both]", 13, "'both' is not known; write send or receive")]
    [InlineData("  mssClamp: 27", 13, "'27' is no whole number from 28 to 65535; write a decimal number from 28 to 65535, or auto, or off")]
    [InlineData("  mssClamp: 0", 13, "'0' is no whole number from 28 to 65535; write a decimal number from 28 to 65535, or auto, or off")]
    [InlineData("  mssClamp: true", 13, "'mssClamp' of tunnel: 'true' is no whole number from 28 to 65535")]
    [InlineData("  accept: [ipip]\n  encapsulationLimit: 256", 14, "'256' is no whole number from 0 to 255; write a decimal number from 0 to 255, or none")]
    [InlineData("  fragment: outer", 13, "'outer' is not known; write inner or drop")]
    [InlineData("  mssclamp: auto", 13, "tunnel knows no key 'mssclamp'; did you mean 'mssClamp'?")]
    [InlineData("  checksums: true", 13, "tunnel knows no key 'checksums'; did you mean 'checksum'?")]
    public void Parse_BadTunnel_IsRefusedWithLineAndRemedy(string line, int number, string expected) =>
        AssertRefused(SampleConfiguration.With(Tunnel, $"{Tunnel}{line}\n"), number, expected);

    [Theory]
    [InlineData("    payload: ip", "payload ip of segment 'pods' is Geneve's, and VXLAN carries Ethernet only; write 'payload: ethernet'")]
    [InlineData("    options: [ { class: 1, type: 1 } ]", "options of segment 'pods' are Geneve's, and the segment's encapsulation is vxlan; leave them out")]
    [InlineData("    options: [ { class: 0x10000, type: 1 } ]", "'0x10000' is no number from 0 to 65535; write a number from 0 to 65535, or 0x0 to 0xffff")]
    [InlineData("    options: [ { class: 1, type: 1, data: \"001122\" } ]", "'001122' has 3 octets; write a multiple of 4")]
    [InlineData("    options: [ { class: 1, type: 1, data: xy } ]", "'xy' is not hexadecimal; write two digits an octet")]
    [InlineData("    options: [ { class: 1 } ]", "an option has no 'type'; write 'type: 0x80'")]
    [InlineData("    groupPolicy: 65536", "'65536' is no whole number from 0 to 65535; write a decimal number from 0 to 65535, or mark")]
    [InlineData("    groupPolicy: -1", "'-1' is no whole number from 0 to 65535")]
    [InlineData("    vlan: yes", "'yes' is not known; write strip or keep")]
    [InlineData("    encapsulation: gre", "'gre' is not known; write vxlan or geneve or ipip")]
    public void Parse_BadSegment_IsRefusedWithLineAndRemedy(string line, string expected) =>
        AssertRefused(SampleConfiguration.With(Segment, $"{Segment}{line}\n"), 18, expected);

    [Theory]
    [InlineData("groupPolicy: 1", "groupPolicy 1 of segment 'pods' is VXLAN's, and the segment's encapsulation is geneve; leave it out")]
    [InlineData("groupPolicy: mark", "groupPolicy mark of segment 'pods' is VXLAN's, and the segment's encapsulation is geneve; leave it out")]
    [InlineData("payload: ip\n    vlan: keep", "vlan keep of segment 'pods' needs an Ethernet header, and the payload is ip; write 'vlan: strip'")]
    public void Parse_BadGeneveSegment_IsRefused(string lines, string expected)
    {
        string text = SampleConfiguration.With(Segment, $"{Segment}    encapsulation: geneve\n    {lines}\n");

        Assert.Contains(SampleConfiguration.Refusals(text), refusal => refusal.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Parse_OptionsLongerThanTheHeaderCounts_AreRefused()
    {
        string option = $"{{ class: 1, type: 1, data: \"{new string('0', 248)}\" }}";
        string text = SampleConfiguration.With(Segment, $"{Segment}    encapsulation: geneve\n    options: [{option}, {option}]\n");

        Assert.Contains(
            SampleConfiguration.Refusals(text),
            refusal => refusal.Contains("the options of segment 'pods' have 256 bytes; keep them to 252", StringComparison.Ordinal));
    }

    [Fact]
    public void Parse_NoChecksumWithTunnelSuperPackets_IsRefused()
    {
        string text = SampleConfiguration.With("  egress: auto", "  egress: tunnel-gso\n  checksum: false");

        AssertRefused(text, 14, "'checksum: false' does not go with 'egress: tunnel-gso'");
    }

    private static string TwoSegments(string tunnelLines, string second) => $$"""
        node: node-a
        underlay: { interface: eth0 }
        tunnel:
          encapsulation: vxlan
        {{tunnelLines}}
        segments:
          - { name: pods, vni: 42, device: overlay0 }
          - { name: lab, vni: 43, device: overlay1, encapsulation: {{second}} }

        """;

    private static void AssertRefused(string text, int line, string expected) => Assert.Contains(
        SampleConfiguration.Refusals(text),
        refusal => refusal.StartsWith($"overlay.yaml:{line}: ", StringComparison.Ordinal) && refusal.Contains(expected, StringComparison.Ordinal));
}
