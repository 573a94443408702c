using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests;

/// <summary>Two routed segments between the same two daemons, both with traffic at once.</summary>
public sealed class TwoSegmentsTests
{
    private const int Red = 100;
    private const int Blue = 200;
    private const long Bytes = 8 << 20;

    private static readonly string[] RedMacs = ["02:00:00:00:0a:01", "02:00:00:00:0a:02"];
    private static readonly string[] BlueMacs = ["02:00:00:00:0b:01", "02:00:00:00:0b:02"];

    [Theory]
    [InlineData("vxlan", "vxlan", false)]
    [InlineData("geneve", "geneve", false)]
    [InlineData("vxlan", "geneve", true)]
    public async Task Tcp_InBothSegmentsAtOnce_ArrivesAtTheDeviceOfEach(string red, string blue, bool configuresMacs)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        LabNode a = network.A, b = network.B;
        OverlayDaemon daemon = await StartAsync(network, a, b, red, blue, configuresMacs);
        OverlayDaemon far = await StartAsync(network, b, a, red, blue, configuresMacs);

        await using Capture capture = await Capture.StartAsync(a, b);
        await Task.WhenAll(
            TcpCheck.RunAsync(a.Host, b.Host, Address("61", b), streams: 2, Bytes),
            TcpCheck.RunAsync(a.Host, b.Host, Address("62", b), streams: 2, Bytes),
            TcpCheck.RunAsync(b.Host, a.Host, Address("61", a), streams: 1, Bytes),
            TcpCheck.RunAsync(b.Host, a.Host, Address("62", a), streams: 1, Bytes));
        await capture.CloseAsync();

        Dictionary<string, string> macs = (await far.StatusAsync()).Segments.ToDictionary(segment => segment.Name, segment => segment.Mac);
        Assert.NotEqual(macs["red"], macs["blue"]);
        if (configuresMacs) Assert.Equal((RedMacs[1], BlueMacs[1]), (macs["red"], macs["blue"]));
        await VerifyAsync(capture, red, Red, macs["red"]);
        await VerifyAsync(capture, blue, Blue, macs["blue"]);
        Assert.Equal(macs, Assert.Single((await daemon.StatusAsync()).Peers).Macs);
        foreach (OverlayDaemon end in new[] { daemon, far })
            Assert.Equal(0, (await StatusFigures.AtRestAsync(end)).Queues.Sum(queue => StatusFigures.DropsOf(queue, "ingress-")));
    }

    private static async Task VerifyAsync(Capture capture, string encapsulation, int vni, string mac)
    {
        int port = encapsulation == "vxlan" ? 4789 : 6081;
        IEnumerable<CapturedDatagram> sent = (await Tshark.ReadAsync(capture.File, port, encapsulation)).Where(datagram => datagram.Vni == vni);
        Assert.Equal([mac], sent.Select(datagram => datagram.InnerDestinationMac).Distinct());
        Assert.True(sent.Count() > 1000, $"{sent.Count()} datagrams in VNI {vni}");
    }

    private static Task<OverlayDaemon> StartAsync(LabNetwork network, LabNode node, LabNode peer, string red, string blue, bool configuresMacs)
    {
        string Own(string[] macs) => configuresMacs ? $"mac: \"{macs[node.Number - 1]}\", " : "";
        string theirs = configuresMacs ? $", macs: {{ red: \"{RedMacs[peer.Number - 1]}\", blue: \"{BlueMacs[peer.Number - 1]}\" }}" : "";
        return network.StartDaemonAsync(node, new DaemonConfiguration
        {
            Node = node,
            Tunnel = new TunnelOptions(),
            Text = $$"""
                node: {{node.Name}}
                api: { socket: SOCKET }
                underlay: { interface: {{LabNode.UnderlayDevice}}, addresses: [{{node.Underlay}}] }
                segments:
                  - { name: red, vni: {{Red}}, device: red0, encapsulation: {{red}}, {{Own(RedMacs)}}addresses: [{{Address("61", node)}}/32] }
                  - { name: blue, vni: {{Blue}}, device: blue0, encapsulation: {{blue}}, {{Own(BlueMacs)}}addresses: [{{Address("62", node)}}/32] }
                peers:
                  - { name: {{peer.Name}}, address: {{peer.Underlay}}{{theirs}} }
                routes:
                  - { prefix: {{Address("61", peer)}}/32, peer: {{peer.Name}}, segment: red }
                  - { prefix: {{Address("62", peer)}}/32, peer: {{peer.Name}}, segment: blue }

                """,
        });
    }

    private static string Address(string net, LabNode node) => $"10.{net}.{node.Number}.1";
}
