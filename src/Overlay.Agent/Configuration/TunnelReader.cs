using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Agent.Configuration;

/// <summary>Reads what a configuration says of encapsulations.</summary>
internal static class TunnelReader
{
    private static readonly ValueParser<Encapsulation> Encapsulations =
        ConfigurationValues.OneOf(("vxlan", Encapsulation.Vxlan), ("geneve", Encapsulation.Geneve), ("ipip", Encapsulation.IpInIp));

    /// <summary>Whether IPv4 packets without DF are fragmented inside.</summary>
    public static readonly ValueParser<bool> Fragment = ConfigurationValues.OneOf(("inner", true), ("drop", false));

    /// <summary>Whether the route of a packet's inner source has to lead to the peer that it comes from.</summary>
    public static readonly ValueParser<bool> ReversePath = ConfigurationValues.OneOf(("off", false), ("strict", true));

    /// <summary>The port that IANA assigned; 0 for IP-in-IP, which has none.</summary>
    public static int DefaultPort(Encapsulation encapsulation) =>
        encapsulation switch
        {
            Encapsulation.Vxlan => VxlanHeader.DefaultPort,
            Encapsulation.Geneve => GeneveHeader.DefaultPort,
            _ => 0,
        };

    public static TunnelOptions Read(YamlSection section)
    {
        var options = new TunnelOptions(
            section.OrDefault("encapsulation", Encapsulation.Vxlan, Encapsulations),
            section.List("accept", Encapsulations),
            section.Optional("vxlanPort", ConfigurationValues.Integer(1, 65535)),
            section.Optional("genevePort", ConfigurationValues.Integer(1, 65535)),
            section.OrDefault("egress", EgressMode.Auto, ConfigurationValues.OneOf(
                ("auto", EgressMode.Auto), ("udp-gso", EgressMode.UdpGso), ("tunnel-gso", EgressMode.TunnelGso))),
            section.OrDefault<bool>("checksum", true, ConfigurationValues.Boolean),
            section.List("zeroChecksumIPv6", ConfigurationValues.OneOf(
                ("send", ChecksumDirection.Send), ("receive", ChecksumDirection.Receive))),
            section.OrDefault<int?>("mssClamp", null, ConfigurationValues.MssClamp),
            section.OrDefault("fragment", true, Fragment),
            section.OrDefault("reversePath", false, ReversePath),
            section.Optional<int?>("encapsulationLimit", ConfigurationValues.NoneOr(ConfigurationValues.Integer(0, byte.MaxValue))),
            section.Optional<string>("ipipSegment", ConfigurationValues.Name));
        section.RefuseUnknownKeys();
        return options;
    }

    /// <summary>For networks that controllers tell, each of its own encapsulation: both that have a VNI are received.</summary>
    public static TunnelOptions ForNetworks(TunnelOptions tunnel, ConfigurationProblems problems)
    {
        foreach (Located<Encapsulation> ipip in tunnel.Accept.Prepend(tunnel.Encapsulation).Where(each => each.Value == Encapsulation.IpInIp))
            problems.Add(ipip.Line, "ipip carries no VNI, by which networks of a controller are told apart", "write vxlan or geneve, or leave it out");
        int line = tunnel.Encapsulation.Line;
        return tunnel with { Accept = [new(Encapsulation.Vxlan, line), new(Encapsulation.Geneve, line)] };
    }

    /// <param name="section">Of the segment.</param>
    /// <param name="encapsulation">The tunnel's, which is the default.</param>
    public static SegmentTunnelOptions ReadSegment(YamlSection section, Located<Encapsulation> encapsulation)
    {
        var options = new List<GeneveOptionOptions>();
        foreach (YamlSection option in section.Sections("options", "an option"))
        {
            Located<int>? optionClass = option.Required("class", "0x0102", ConfigurationValues.Number(0, ushort.MaxValue));
            Located<int>? type = option.Required("type", "0x80", ConfigurationValues.Number(0, byte.MaxValue));
            Located<byte[]> data = option.OrDefault<byte[]>("data", [], ConfigurationValues.OptionData);
            option.RefuseUnknownKeys();
            if (optionClass is { } c && type is { } t) options.Add(new GeneveOptionOptions(c, t, data));
        }
        return new SegmentTunnelOptions(
            section.OrDefault("encapsulation", encapsulation.Value, Encapsulations),
            section.OrDefault("payload", false, ConfigurationValues.OneOf(("ethernet", false), ("ip", true))),
            section.OrDefault("vlan", false, ConfigurationValues.OneOf(("strip", false), ("keep", true))),
            section.Optional<int>("groupPolicy", ConfigurationValues.GroupPolicy),
            options);
    }
}
