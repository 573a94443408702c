using System.Globalization;
using Overlay.Testing.Captures;

namespace Overlay.Cli.Tests;

/// <summary>A frame as tshark dissects it: every occurrence of a field, outermost first.</summary>
internal sealed class TsharkFrame(IReadOnlyDictionary<string, string[]> fields)
{
    private const int EthernetLength = 14;
    private const int OptionHeaderLength = 4;

    private static readonly string[] Fields =
    [
        "frame.protocols", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "eth.src", "eth.dst", "udp.srcport", "udp.dstport", "udp.length",
        "ip.len", "ipv6.plen", "vxlan.vni", "vxlan.flags", "vxlan.gbp", "geneve.vni", "geneve.proto_type", "geneve.flags.oam",
        "geneve.flags.critical", "geneve.option.class", "geneve.option.type", "geneve.option.length", "geneve.option.unknown.data",
    ];

    public static List<TsharkFrame> Decode(string path)
    {
        IReadOnlyList<string[]> rows = Tshark.ReadFields(path, Fields, "-d", "udp.port==8472,vxlan", "-o", "ip.defragment:FALSE");
        return [.. rows.Select(Parse)];
    }

    /// <summary>What our keys should say, as text; empty for null.</summary>
    public IReadOnlyDictionary<string, string> Expected()
    {
        string[] layers = [.. One("frame.protocols").Split(':').Where(layer => layer is "ip" or "ipv6" or "vxlan" or "geneve")];
        string outer = layers[0], inner = layers[^1];
        // tshark does not list VXLAN-GPE among the protocols of a frame.
        string tunnel = layers.Length == 3 ? layers[1] : fields["vxlan.flags"].Length > 0 ? "vxlan_gpe" : "";
        bool isVxlan = tunnel is "vxlan" or "vxlan_gpe";
        int innerOccurrence = inner == outer ? 1 : 0;
        int innerEthernet = fields["eth.src"].Length - 1;
        return new Dictionary<string, string>
        {
            ["encap"] = Encapsulation(outer, tunnel, inner),
            ["vni"] = tunnel == "" ? "" : Number(One(isVxlan ? "vxlan.vni" : "geneve.vni")),
            ["outer_src"] = fields[outer + ".src"][0],
            ["outer_dst"] = fields[outer + ".dst"][0],
            ["outer_sport"] = One("udp.srcport"),
            ["outer_dport"] = One("udp.dstport"),
            ["inner_len"] = InnerLength(tunnel, inner, innerOccurrence).ToString(CultureInfo.InvariantCulture),
            ["inner_src"] = fields[inner + ".src"][innerOccurrence],
            ["inner_dst"] = fields[inner + ".dst"][innerOccurrence],
            ["inner_eth_src"] = innerEthernet == 1 ? fields["eth.src"][1] : "",
            ["inner_eth_dst"] = innerEthernet == 1 ? fields["eth.dst"][1] : "",
            ["inner_proto"] = Number(One("geneve.proto_type")),
            ["flags"] = isVxlan ? Number(One("vxlan.flags")[..4]) : "",
            ["gbp_id"] = tunnel == "vxlan" && One("vxlan.flags").StartsWith("0x8", StringComparison.Ordinal) ? One("vxlan.gbp") : "",
            ["oam"] = Flag(One("geneve.flags.oam")),
            ["critical"] = Flag(One("geneve.flags.critical")),
            ["options"] = string.Join(',', fields["geneve.option.class"].Select((optionClass, i) =>
                $"{Number(optionClass)}/{Number(fields["geneve.option.type"][i])}/{OptionLength(i) - OptionHeaderLength}/{fields["geneve.option.unknown.data"][i]}")),
            ["error"] = "",
        };
    }

    private static TsharkFrame Parse(string[] columns) => new(Fields.Zip(columns).ToDictionary(
        column => column.First, column => column.Second.Split(',', StringSplitOptions.RemoveEmptyEntries)));

    private static string Encapsulation(string outer, string tunnel, string inner) => (outer, tunnel, inner) switch
    {
        (_, "vxlan", _) => "vxlan",
        (_, "vxlan_gpe", _) => "vxlan-gpe",
        (_, "geneve", _) => "geneve",
        ("ip", _, "ip") => "ipip",
        ("ip", _, _) => "sit",
        (_, _, "ip") => "ip4ip6",
        _ => "ip6ip6",
    };

    /// <summary>From the UDP length in a datagram; IP in IP has none, but its inner packets end where the outer ones do.</summary>
    private int InnerLength(string tunnel, string inner, int occurrence)
    {
        int innerPacket = inner == "ip"
            ? int.Parse(fields["ip.len"][occurrence], CultureInfo.InvariantCulture)
            : 40 + int.Parse(fields["ipv6.plen"][occurrence], CultureInfo.InvariantCulture);
        if (tunnel == "") return innerPacket;
        int options = Enumerable.Range(0, fields["geneve.option.class"].Length).Sum(OptionLength);
        int length = int.Parse(One("udp.length"), CultureInfo.InvariantCulture) - 16 - options;
        Assert.Equal(innerPacket + (fields["eth.src"].Length == 2 ? EthernetLength : 0), length);
        return length;
    }

    /// <summary>With the option's header. The first occurrence is the length of all options.</summary>
    private int OptionLength(int option) => int.Parse(fields["geneve.option.length"][option + 1], CultureInfo.InvariantCulture);

    private string One(string field) => fields[field].FirstOrDefault("");

    private static string Number(string text) => text.StartsWith("0x", StringComparison.Ordinal)
        ? int.Parse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture).ToString(CultureInfo.InvariantCulture)
        : text;

    private static string Flag(string text) => text switch
    {
        "1" => "True",
        "0" => "False",
        _ => text,
    };
}
