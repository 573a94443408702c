using System.Globalization;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests;

/// <summary>Two segments on each daemon: a device and a table each. One address exists in both, behind different peers.</summary>
public sealed class SegmentSeparationTests
{
    private const int Red = 100;
    private const int Blue = 200;
    private const int Pings = 20;
    private const string Shared = "10.60.1.9";

    [Theory]
    [InlineData("vxlan", "vxlan", UnderlayFamily.Ipv4)]
    [InlineData("geneve", "geneve", UnderlayFamily.Ipv6)]
    [InlineData("ipip", "vxlan", UnderlayFamily.Ipv6)]
    public async Task Ping_SameAddressInTwoSegments_IsAnsweredInEachAndNeverSeenInTheOther(string redTunnel, string blueTunnel, UnderlayFamily family)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Nodes = 3, Family = family });
        LabNode a = network.A, b = network.B, c = network.Nodes[2];
        foreach (LabNode node in network.Nodes) await node.Host.SysctlAsync("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0");
        // The prefixes overlap, so that a table common to both segments would send all to c.
        string[] tunnels = [redTunnel, blueTunnel];
        await StartAsync(network, a, tunnels, "10.61.1.1", "10.62.1.1", ("10.60.0.0/16", b, "red"), ("10.60.1.0/24", c, "blue"));
        await StartAsync(network, b, tunnels, Shared, "10.63.1.1", ("10.61.1.1/32", a, "red"));
        await StartAsync(network, c, tunnels, "10.64.1.1", Shared, ("10.62.1.1/32", a, "blue"));

        await using Capture capture = await Capture.StartAsync(a, b);
        PingResult red = await Ping.RunAsync(a.Host, "red0", Shared, Pings);
        PingResult blue = await Ping.RunAsync(a.Host, "blue0", Shared, Pings);
        await capture.CloseAsync();

        Assert.True(red.Received == Pings, red.Transcript);
        Assert.True(blue.Received == Pings, blue.Transcript);
        Assert.Equal((Pings, Pings), (await SentAsync(capture.File, b, redTunnel, Red), await SentAsync(capture.File, c, blueTunnel, Blue)));
        Assert.Equal((0, 0), (await SentAsync(capture.File, c, redTunnel, Red), await SentAsync(capture.File, b, blueTunnel, Blue)));
        Assert.Equal((Pings, Pings), (await ReceivedAsync(a, "red0"), await ReceivedAsync(a, "blue0")));
        Assert.Equal((Pings, 0), (await ReceivedAsync(b, "red0"), await ReceivedAsync(b, "blue0")));
        Assert.Equal((0, Pings), (await ReceivedAsync(c, "red0"), await ReceivedAsync(c, "blue0")));
    }

    /// <summary>Echo requests to a node in an encapsulation, and with a VNI where there is one.</summary>
    private static async Task<int> SentAsync(string capture, LabNode to, string tunnel, int vni)
    {
        string address = to.Underlay.Contains(':') ? "ipv6.dst" : "ip.dst";
        string segment = tunnel == "ipip" ? "!udp" : $"{tunnel}.vni == {vni}";
        return (await Tshark.FieldsAsync(capture, $"{address} == {to.Underlay} && icmp.type == 8 && {segment}", "frame.number")).Count;
    }

    private static Task<OverlayDaemon> StartAsync(LabNetwork network, LabNode node, string[] tunnels, string red, string blue, params (string Prefix, LabNode Peer, string Segment)[] routes)
    {
        IEnumerable<string> peers = network.Nodes.Where(peer => peer != node)
            .Select(peer => $"  - {{ name: {peer.Name}, address: \"{peer.Underlay}\", mac: \"{Mac(peer, routes.FirstOrDefault(route => route.Peer == peer).Segment)}\" }}");
        IEnumerable<string> lines = routes.Select(route => $"  - {{ prefix: {route.Prefix}, peer: {route.Peer.Name}, segment: {route.Segment} }}");
        return network.StartDaemonAsync(node, new DaemonConfiguration
        {
            Node = node,
            Tunnel = new TunnelOptions(),
            Text = $$"""
                node: {{node.Name}}
                api: { socket: SOCKET }
                underlay: { interface: {{LabNode.UnderlayDevice}}, addresses: ["{{node.Underlay}}"] }
                segments:
                  - { name: red, encapsulation: {{tunnels[0]}}, vni: {{Red}}, device: red0, mac: "{{Mac(node, "red")}}", addresses: [{{red}}/32] }
                  - { name: blue, encapsulation: {{tunnels[1]}}, vni: {{Blue}}, device: blue0, mac: "{{Mac(node, "blue")}}", addresses: [{{blue}}/32] }
                peers:
                {{string.Join('\n', peers)}}
                routes:
                {{string.Join('\n', lines)}}

                """,
        });
    }

    /// <summary>Of the device in a segment: each device of a node has its own.</summary>
    private static string Mac(LabNode node, string? segment) => segment == "blue" ? $"02:00:00:00:01:{node.Number:x2}" : node.Mac;

    private static async Task<int> ReceivedAsync(LabNode node, string device) => int.Parse(
        await node.Host.CheckAsync("cat", $"/sys/class/net/{device}/statistics/rx_packets"), CultureInfo.InvariantCulture);
}
