using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;
using Overlay.Wire;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>IP-in-IP between two daemons: all four combinations of families are sound by tshark, and everything arrives byte for byte.</summary>
public sealed class IpInIpTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private static TunnelOptions Tunnel => new() { Encapsulation = "ipip" };

    private static string[] Checks =>
        ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"];

    [Theory]
    [InlineData(UnderlayFamily.Ipv4, true)]
    [InlineData(UnderlayFamily.Ipv4, false)]
    [InlineData(UnderlayFamily.Ipv6, true)]
    public async Task IpInIp_BothInnerFamilies_AreStandardAndArrive(UnderlayFamily family, bool wire)
    {
        var options = new LabOptions { Family = family, Wire = wire, TunnelPrefix = -8 };
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
        string outer = family == UnderlayFamily.Ipv4 ? "ip.proto" : "ipv6.nxt";
        foreach (int protocol in new[] { IpProtocols.Ipv4InIp, IpProtocols.Ipv6InIp })
        {
            string sent = await TsharkAsync(capture.File, $"{outer} == {protocol} && frame.len > 100", "frame.number");
            Assert.True(sent.Split('\n').Length > 100, $"{sent.Split('\n').Length} packets of protocol {protocol}");
        }
        // On a veth the kernel leaves checksums of packets that nobody segments unfinished.
        if (!wire) return;
        Assert.Equal("", await TsharkAsync(capture.File, "ip.checksum.status == Bad || udp.checksum.status == Bad || tcp.checksum.status == Bad", "frame.number"));
        Assert.Equal("", await TsharkAsync(capture.File, $"frame.len > {options.UnderlayMtu + 14} || _ws.malformed", "frame.number"));
        if (family == UnderlayFamily.Ipv6) return;
        string flags = await TsharkAsync(capture.File, "ip.proto == 4 || ip.proto == 41", "ip.flags.df");
        Assert.All(flags.Split('\n', StringSplitOptions.RemoveEmptyEntries), flag => Assert.True(flag is "1" or "True", "an outer packet may be fragmented"));
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

    [Fact]
    public async Task Migration_FromVxlanToIpInIp_TalksBeforeBetweenAndAfter()
    {
        var options = new LabOptions();
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

    private static Task<string> TsharkAsync(string file, string filter, string field) => Command.CheckAsync(
        Deadline, null, "tshark", ["-n", "-r", file, "-Y", filter, .. Checks, "-T", "fields", "-E", "occurrence=f", "-e", field]);

    /// <summary>An IPv4 header of an unused protocol (RFC 3692), well formed.</summary>
    private static byte[] Inner(string source, string destination, byte timeToLive) => PlainBytes.Ipv4(source, destination, 253, [], timeToLive: timeToLive);
}
