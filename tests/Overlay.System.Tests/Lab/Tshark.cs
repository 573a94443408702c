using System.Globalization;

namespace Overlay.SystemTests.Lab;

/// <summary>Reads captures with tshark(1), which checks every checksum.</summary>
internal static class Tshark
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);

    // Every occurrence of a field, the outer one first.
    private static readonly string[] Fields =
    [
        "frame.number", "ip.src", "ip.dst", "ip.len", "ip.flags.df", "ip.flags.mf", "ip.frag_offset", "ip.ttl", "ip.dsfield", "ip.proto",
        "ip.checksum.status", "ipv6.src", "ipv6.dst", "ipv6.plen", "ipv6.hlim", "ipv6.tclass", "ipv6.nxt", "ipv6.fraghdr.offset",
        "ipv6.fraghdr.nxt",
        "udp.srcport", "udp.dstport", "udp.checksum.status", "tcp.srcport", "tcp.dstport", "tcp.checksum.status", "icmp.checksum.status",
        "icmpv6.checksum.status", "vxlan.flags", "vxlan.vni", "vxlan.gbp", "geneve.flags", "geneve.vni", "geneve.options",
        "ipv6.flow", "eth.type", "eth.src", "eth.dst", "_ws.malformed",
    ];

    private static readonly string[] Checksums =
    [
        "ip.checksum.status", "udp.checksum.status", "tcp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status",
    ];

    /// <summary>EtherType of what daemons send each other about their paths, at any time.</summary>
    private const string PathMessages = "0x88b5";

    /// <summary>Reads what was sent to a port, but for path messages.</summary>
    public static async Task<IReadOnlyList<CapturedDatagram>> ReadAsync(string file, int port, string encapsulation)
    {
        string output = await Command.CheckAsync(Deadline, null, "tshark",
        [
            "-n", "-r", file, "-Y", $"udp.dstport == {port} and not eth.type == {PathMessages}", "-d", $"udp.port=={port},{encapsulation}",
            "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
            "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE",
            "-o", "tcp.analyze_sequence_numbers:FALSE", "-o", "udp.ignore_ipv6_zero_checksum:TRUE",
            "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", .. Fields.SelectMany(field => new[] { "-e", field }),
        ]);
        return [.. output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => Read(line, encapsulation))];
    }

    /// <summary>Fields of the frames that a filter lets through; of a field that occurs several times each value, the outermost first.</summary>
    /// <returns>By frame, field and occurrence.</returns>
    public static async Task<List<string[][]>> FieldsAsync(string file, string filter, params string[] fields)
    {
        string output = await Command.CheckAsync(Deadline, null, "tshark",
        [
            "-n", "-r", file, "-Y", filter, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
            "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE",
            "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", .. fields.SelectMany(field => new[] { "-e", field }),
        ]);
        return
        [
            .. output.Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(line => line.Split('\t').Select(value => value.Split(',', StringSplitOptions.RemoveEmptyEntries)).ToArray()),
        ];
    }

    public static bool IsTrue(string value) => value is "1" or "True";

    public static int Number(string value) => value.StartsWith("0x", StringComparison.Ordinal)
        ? int.Parse(value.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture)
        : int.Parse(value, CultureInfo.InvariantCulture);

    private static CapturedDatagram Read(string line, string encapsulation)
    {
        string[][] values = [.. line.Split('\t').Select(value => value.Split(',', StringSplitOptions.RemoveEmptyEntries))];
        string[] All(string field) => values[Array.IndexOf(Fields, field)];
        string First(string field) => All(field)[0];

        bool outer4 = First("eth.type") == "0x0800";
        bool innerIs4 = All("ip.src").Length > (outer4 ? 1 : 0);
        int at4 = outer4 ? 1 : 0;
        int at6 = outer4 ? 0 : 1;
        bool fragment = innerIs4
            ? Number(All("ip.frag_offset")[at4]) != 0 || IsTrue(All("ip.flags.mf")[at4])
            : All("ipv6.fraghdr.offset").Length > 0;
        string flow = innerIs4
            ? $"{All("ip.src")[at4]} {All("ip.dst")[at4]} {All("ip.proto")[at4]} {Ports(All, fragment)}"
            : $"{All("ipv6.src")[at6]} {All("ipv6.dst")[at6]} {(fragment ? All("ipv6.fraghdr.nxt") : All("ipv6.nxt")[at6..])[0]} {Ports(All, fragment)}";
        return new CapturedDatagram(
            Frame: Number(First("frame.number")),
            Source: First(outer4 ? "ip.src" : "ipv6.src"),
            Destination: First(outer4 ? "ip.dst" : "ipv6.dst"),
            Length: outer4 ? Number(First("ip.len")) : Number(First("ipv6.plen")) + 40,
            DontFragment: !outer4 || IsTrue(First("ip.flags.df")),
            HopLimit: Number(First(outer4 ? "ip.ttl" : "ipv6.hlim")),
            TrafficClass: Number(First(outer4 ? "ip.dsfield" : "ipv6.tclass")),
            FlowLabel: outer4 ? 0 : Number(First("ipv6.flow")),
            SourcePort: Number(First("udp.srcport")),
            Vni: Number(First(encapsulation + ".vni")),
            Flags: Number(First(encapsulation + ".flags")),
            GroupPolicy: encapsulation == "vxlan" ? Number(First("vxlan.gbp")) : 0,
            Options: string.Concat(All("geneve.options")).Replace(":", "", StringComparison.Ordinal),
            Checksums: [.. Checksums.SelectMany(field => All(field).Select(status => (field, (ChecksumStatus)Number(status))))],
            InnerFragment: fragment,
            InnerSourceMac: All("eth.src").ElementAtOrDefault(1) ?? "",
            InnerDestinationMac: All("eth.dst").ElementAtOrDefault(1) ?? "",
            Flow: flow,
            Malformed: string.Join(',', All("_ws.malformed")));
    }

    private static string Ports(Func<string, string[]> all, bool fragment)
    {
        if (fragment) return "";
        string[] source = [.. all("tcp.srcport"), .. all("udp.srcport").Skip(1)];
        string[] destination = [.. all("tcp.dstport"), .. all("udp.dstport").Skip(1)];
        return $"{string.Join(',', source)} {string.Join(',', destination)}";
    }
}
