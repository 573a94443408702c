using Overlay.Rpc;

namespace Overlay.Cli.Tests;

internal static class SampleStatus
{
    public static StatusDocument Create() => new(
        "node-a", "1.2.3", 93_784.6, 4, true,
        new UnderlayStatus("eth0", ["192.0.2.1", "2001:db8::1"], 1500, 4789, [new("vxlan", 4789), new("geneve", 6081)], "udp-gso", "configured", ["UDP_GRO: not supported"]),
        [
            new SegmentStatus("pods", "routed", "overlay0", 42, "vxlan", "udp-gso", 1450, "02:00:00:00:00:01", ["10.244.1.0/32"], ["checksum", "tso4"], ["overlay0 refuses USO"], null),
            new SegmentStatus("lab", "routed", "overlay1", 16_777_215, "geneve, bare IP", "udp-gso", 1400, "02:00:00:00:00:11", [], [], [], null),
        ],
        [
            new QueueStatus(0, "pods", new(12, 1200, 0), new(10, 1000, 1), 1, 0, 0, 0, 0, 1, new(7, 700, 0), new(7, 700, 2), Drops(noRoute: 1, unknownPeer: 0)),
            new QueueStatus(0, null, new(0, 0, 0), new(0, 0, 0), 0, 0, 0, 0, 0, 0, new(1234, 5, 0), new(0, 0, 0), Drops(noRoute: 0, unknownPeer: 1234)),
        ],
        [new PeerStatus("node-b", "192.0.2.2:4789", new Dictionary<string, string> { ["pods"] = "02:00:00:00:00:02" }, new(10, 1536, 1), new(1_234_567, 5L << 40, 2),
            new PathStatus(1400, 1500, "complete", "probes", true, 0.4, 40, 31))],
        [Route("10.244.2.0/24", "pods", "node-b")],
        1,
        new Dictionary<string, string> { ["egress-no-route"] = "no route covers the destination", ["ingress-unknown-peer"] = "unknown sender" });

    public static RouteStatus Route(string prefix, string segment, params string[] peers) => new(
        prefix, segment, peers.Length > 1 ? "group" : "peer", [.. peers.Select(peer => new RoutePeerStatus(peer, 1))], "never", "configured", 12, 10, 0, true,
        "the only one to its prefix");

    private static Dictionary<string, long> Drops(long noRoute, long unknownPeer) =>
        new() { ["egress-no-route"] = noRoute, ["ingress-unknown-peer"] = unknownPeer };
}
