using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;
using Overlay.Wire;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>IP-in-IP between two daemons: all four combinations of families are sound by tshark, and everything arrives byte for byte.</summary>
public sealed class IpInIpTests
{
    private static TunnelOptions Tunnel => new() { Encapsulation = "ipip" };

    /// <summary>Over IPv6 there are options with the tunnel encapsulation limit.</summary>
    public static int Prefix(UnderlayFamily family) => family == UnderlayFamily.Ipv4 ? -8 : 0;

    [Theory]
    [InlineData(UnderlayFamily.Ipv4, true)]
    [InlineData(UnderlayFamily.Ipv4, false)]
    [InlineData(UnderlayFamily.Ipv6, true)]
    public async Task IpInIp_BothInnerFamilies_AreStandardAndArrive(UnderlayFamily family, bool wire)
    {
        var options = new LabOptions { Family = family, Wire = wire, TunnelPrefix = Prefix(family) };
        await using LabNetwork network = await LabNetwork.CreateAsync(options);
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, Tunnel);
        await network.StartDaemonAsync(network.B, Tunnel);
        await using Capture capture = await Capture.StartAsync(network.A, network.B);

        await VerifiedTraffic.ExchangeAsync(network.A, network.B, options);
        await capture.CloseAsync();

        SegmentStatus segment = Assert.Single((await daemon.StatusAsync()).Segments);
        Assert.Equal((options.OverlayMtu, "ipip"), (segment.Mtu, segment.Encapsulation));
        PingResult tooLarge = await Ping.RunAsync(network.A.Pod, network.B.Pod4, options.OverlayMtu - 27, dontFragment: true);
        Assert.Equal(0, tooLarge.Received);
        string outer = family == UnderlayFamily.Ipv4 ? "ip.proto" : "ipv6.dstopts.nxt";
        foreach (int protocol in new[] { IpProtocols.Ipv4InIp, IpProtocols.Ipv6InIp })
        {
            List<string[][]> sent = await Tshark.FieldsAsync(capture.File, $"{outer} == {protocol} && frame.len > 100", "frame.number");
            Assert.True(sent.Count > 100, $"{sent.Count} packets of protocol {protocol}");
        }
        // On a veth the kernel leaves checksums of packets that nobody segments unfinished.
        if (!wire) return;
        Assert.Empty(await Tshark.FieldsAsync(capture.File, "ip.checksum.status == Bad || udp.checksum.status == Bad || tcp.checksum.status == Bad", "frame.number"));
        Assert.Empty(await Tshark.FieldsAsync(capture.File, $"frame.len > {options.UnderlayMtu + 14} || _ws.malformed", "frame.number"));
        if (family == UnderlayFamily.Ipv6) return;
        Assert.All(
            await Tshark.FieldsAsync(capture.File, "ip.proto == 4 || ip.proto == 41", "ip.flags.df"),
            row => Assert.True(Tshark.IsTrue(row[0][0]), "an outer packet may be fragmented"));
    }

    [Theory]
    [InlineData(UnderlayFamily.Ipv4)]
    [InlineData(UnderlayFamily.Ipv6)]
    public async Task IpInIp_TwoQueues_ShareTheFlowsAndGetEachPacketOnce(UnderlayFamily family)
    {
        var options = new LabOptions { Family = family, TunnelPrefix = Prefix(family) };
        await using LabNetwork network = await LabNetwork.CreateAsync(options);
        OverlayDaemon near = await network.StartDaemonAsync(network.A, Tunnel with { Queues = 2 });
        OverlayDaemon far = await network.StartDaemonAsync(network.B, Tunnel with { Queues = 2 });

        await TcpCheck.RunAsync(network.A.Pod, network.B.Pod, network.B.Pod4, streams: 16, 256 << 10);
        await TcpCheck.RunAsync(network.A.Pod, network.B.Pod, network.B.Pod6, streams: 16, 256 << 10);
        await VerifiedTraffic.ExchangeAsync(network.A, network.B, options);

        StatusDocument sent = await StatusFigures.AtRestAsync(near), received = await StatusFigures.AtRestAsync(far);
        Assert.Equal(sent.Queues.Sum(queue => queue.EgressOut.Packets), received.Queues.Sum(queue => queue.IngressIn.Packets));
        Assert.All([0, 1], index => Assert.InRange(
            received.Queues.Single(queue => queue.Queue == index && queue.Segment is not null).IngressIn.Packets, 100, long.MaxValue));
        Assert.Equal(0, received.Queues.Sum(queue => StatusFigures.DropsOf(queue, "ingress-")));
    }

    [Fact]
    public async Task IpInIp_InnerSourceThatCannotBe_IsDroppedAndCounted()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { TunnelPrefix = -8 });
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, Tunnel);
        string[] sources = [network.B.Underlay4, network.A.Underlay4, "127.0.0.1", "224.0.0.1", "0.0.0.0"];

        using (IpInIpInjector injector = await IpInIpInjector.OpenAsync(network.B, network.A))
        {
            foreach (string source in sources) injector.Send(network.B.Underlay4, Inner(source, network.A.Pod4, timeToLive: 64));
            injector.Send(network.B.Underlay4, Inner(network.B.Pod4, network.A.Pod4, timeToLive: 0));
        }

        StatusDocument status = await StatusFigures.AtRestAsync(daemon);
        Assert.Equal(sources.Length, StatusFigures.Drops(status, "ingress-inner-source"));
        Assert.Equal(1, StatusFigures.Drops(status, "ingress-expired"));
    }

    [Fact]
    public async Task IpInIp_StrictReversePath_TakesFromAPeerWhatIsRoutedToItAndNothingElse()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { TunnelPrefix = -8 });
        LabNode a = network.A, b = network.B;
        DaemonConfiguration strict = DaemonConfiguration.For(a, [b], Tunnel with { TunnelLines = ["reversePath: strict"] });
        OverlayDaemon daemon = await network.StartDaemonAsync(a, strict with
        {
            Text = strict.ToYaml("SOCKET")
                .Replace("peers:\n", "peers:\n  - { name: node-c, address: 192.0.2.77 }\n", StringComparison.Ordinal)
                .Replace("routes:\n", "routes:\n  - { prefix: 10.244.77.0/24, peer: node-c }\n", StringComparison.Ordinal),
        });
        await network.StartDaemonAsync(b, Tunnel);
        // Another peer's, this node's own pod's, and nobody's.
        string[] sources = ["10.244.77.5", a.Pod4, "198.51.100.1"];

        using (IpInIpInjector injector = await IpInIpInjector.OpenAsync(b, a))
        {
            foreach (string source in sources) injector.Send(b.Underlay4, Inner(source, a.Pod4, timeToLive: 64));
        }

        Assert.Equal(1, (await Ping.RunAsync(a.Pod, b.Pod4, size: 56)).Received);
        Assert.Equal(1, (await Ping.RunAsync(b.Host, a.Pod4, size: 56)).Received);
        StatusDocument status = await StatusFigures.AtRestAsync(daemon);
        Assert.Equal(sources.Length, StatusFigures.Drops(status, "ingress-reverse-path"));
        Assert.Equal(sources.Length, status.Queues.Sum(queue => StatusFigures.DropsOf(queue, "ingress-")));
    }

    [Fact]
    public async Task IpInIp_SenderThatIsNoPeer_IsDroppedAndCounted()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { TunnelPrefix = -8 });
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, Tunnel);

        using (IpInIpInjector injector = await IpInIpInjector.OpenAsync(network.B, network.A))
        {
            injector.Send("192.0.2.99", Inner(network.B.Pod4, network.A.Pod4, timeToLive: 64));
        }

        Assert.Equal(1, StatusFigures.Drops(await StatusFigures.AtRestAsync(daemon), "ingress-unknown-peer"));
    }

    [Theory]
    [InlineData(UnderlayFamily.Ipv4)]
    [InlineData(UnderlayFamily.Ipv6)]
    public async Task Migration_FromVxlanToIpInIp_TalksBeforeBetweenAndAfter(UnderlayFamily family)
    {
        var options = new LabOptions { Family = family };
        TunnelOptions vxlan = new() { TunnelLines = ["accept: [vxlan, ipip]"] };
        await using LabNetwork network = await LabNetwork.CreateAsync(options);
        OverlayDaemon a = await network.StartDaemonAsync(network.A, vxlan);
        OverlayDaemon b = await network.StartDaemonAsync(network.B, vxlan);
        TunnelOptions ipip = vxlan with { SegmentLines = ["encapsulation: ipip", $"mtu: {options.OverlayMtu}"] };

        await VerifiedTraffic.ExchangeAsync(network.A, network.B, options);
        await a.ReloadAsync(DaemonConfiguration.For(network.A, [network.B], ipip));
        await VerifiedTraffic.ExchangeAsync(network.A, network.B, options);
        await b.ReloadAsync(DaemonConfiguration.For(network.B, [network.A], ipip));
        await VerifiedTraffic.ExchangeAsync(network.A, network.B, options);

        Assert.Equal("ipip", Assert.Single((await b.StatusAsync()).Segments).Encapsulation);
    }

    /// <summary>An IPv4 header of an unused protocol (RFC 3692), well formed.</summary>
    private static byte[] Inner(string source, string destination, byte timeToLive) => PlainBytes.Ipv4(source, destination, 253, [], timeToLive: timeToLive);
}
