using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>Geneve between two daemons: every datagram is standard Geneve by tshark, and everything arrives byte for byte.</summary>
public sealed class GeneveTests
{
    private const string Option = "0102830111223344";

    private static readonly string[] OptionLine = ["options: [{ class: 0x0102, type: 0x83, data: \"11223344\" }]"];

    private static TunnelOptions Plain => new() { Encapsulation = "geneve", Port = 6081, Flags = 0 };

    [Theory]
    [InlineData(UnderlayFamily.Ipv4, true, "udp-gso")]
    [InlineData(UnderlayFamily.Ipv4, true, "tunnel-gso")]
    [InlineData(UnderlayFamily.Ipv4, false, "tunnel-gso")]
    [InlineData(UnderlayFamily.Ipv6, true, "udp-gso")]
    [InlineData(UnderlayFamily.Ipv6, true, "tunnel-gso")]
    public Task Geneve_Ethernet_IsStandardAndArrives(UnderlayFamily family, bool wire, string egress) =>
        RunAsync(new LabOptions { Family = family, Wire = wire }, Plain with { Egress = egress });

    [Theory]
    [InlineData(UnderlayFamily.Ipv4, "udp-gso")]
    [InlineData(UnderlayFamily.Ipv4, "tunnel-gso")]
    [InlineData(UnderlayFamily.Ipv6, "tunnel-gso")]
    public Task Geneve_CriticalOption_IsWrittenAndKnown(UnderlayFamily family, string egress) => RunAsync(
        new LabOptions { Family = family, TunnelPrefix = 30 },
        Plain with { Egress = egress, SegmentLines = OptionLine, Options = Option, Flags = 0x40 });

    [Theory]
    [InlineData(UnderlayFamily.Ipv4)]
    [InlineData(UnderlayFamily.Ipv6)]
    public Task Geneve_BareIp_HasNoInnerEthernetHeader(UnderlayFamily family) => RunAsync(
        new LabOptions { Family = family, TunnelPrefix = 8 }, Plain with { SegmentLines = ["payload: ip"] }, carriesEthernet: false);

    [Fact]
    public Task Geneve_BareIpWithOptionAtAnotherPort_IsStandardAndArrives() => RunAsync(
        new LabOptions { TunnelPrefix = 16 },
        Plain with { Port = 16081, SegmentLines = ["payload: ip", .. OptionLine], Options = Option, Flags = 0x40 }, carriesEthernet: false);

    [Fact]
    public async Task Geneve_CriticalOptionNotKnownToTheReceiver_IsDroppedAndCounted()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { TunnelPrefix = 30 });
        await network.StartDaemonAsync(network.A, Plain with { SegmentLines = OptionLine });
        OverlayDaemon receiver = await network.StartDaemonAsync(network.B, Plain);

        PingResult ping = await Ping.RunAsync(network.A.Pod, network.B.Pod4, size: 56);

        Assert.Equal(0, ping.Received);
        StatusDocument status = await StatusFigures.AtRestAsync(receiver);
        Assert.True(StatusFigures.Drops(status, "ingress-critical-option") > 0);
    }

    [Theory]
    [InlineData(UnderlayFamily.Ipv4)]
    [InlineData(UnderlayFamily.Ipv6)]
    public async Task Migration_NodesThatAcceptBoth_TalkWhateverEachSendsAndAfterAReload(UnderlayFamily family)
    {
        string[] both = ["accept: [vxlan, geneve]"];
        var options = new LabOptions { Family = family };
        TunnelOptions vxlan = new() { TunnelLines = both };
        TunnelOptions geneve = Plain with { TunnelLines = both };
        await using LabNetwork network = await LabNetwork.CreateAsync(options);
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, vxlan);
        await network.StartDaemonAsync(network.B, geneve);

        VerifiedTraffic.Rules(network.A, network.B, options, vxlan)
            .Verify(await VerifiedTraffic.RunAsync(network.A, network.B, options, vxlan));
        await daemon.ReloadAsync(DaemonConfiguration.For(network.A, [network.B], geneve));
        IReadOnlyList<CapturedDatagram> sent = await VerifiedTraffic.RunAsync(network.A, network.B, options, geneve);

        VerifiedTraffic.Rules(network.A, network.B, options, geneve).Verify(sent);
        Assert.True(sent.Count > 1000, $"{sent.Count} datagrams");
        StatusDocument status = await daemon.StatusAsync();
        Assert.Equal("geneve", Assert.Single(status.Segments).Encapsulation);
        Assert.Equal([("vxlan", 4789), ("geneve", 6081)], status.Underlay.Ports.Select(port => (port.Encapsulation, port.Port ?? 0)));
    }

    [Theory]
    [InlineData(UnderlayFamily.Ipv4)]
    [InlineData(UnderlayFamily.Ipv6)]
    public async Task Geneve_OpenVSwitch_TalksBothWays(UnderlayFamily family)
    {
        var options = new LabOptions { Family = family };
        await using OpenVSwitchPeer pair = await OpenVSwitchPeer.CreateAsync(options, Plain, "options:csum=true");

        VerifiedTraffic.Rules(pair.Ours, pair.Theirs, options, Plain)
            .Verify(await VerifiedTraffic.RunAsync(pair.Ours, pair.Theirs, options, Plain));
    }

    [Theory]
    [InlineData(UnderlayFamily.Ipv4, "checksum: false")]
    [InlineData(UnderlayFamily.Ipv6, "zeroChecksumIPv6: [send, receive]")]
    public async Task Geneve_NoChecksums_TalksWithOpenVSwitchThatSendsNone(UnderlayFamily family, string line)
    {
        var options = new LabOptions { Family = family };
        TunnelOptions tunnel = Plain with { TunnelLines = [line] };
        await using OpenVSwitchPeer pair = await OpenVSwitchPeer.CreateAsync(options, tunnel, "options:csum=false");

        (VerifiedTraffic.Rules(pair.Ours, pair.Theirs, options, tunnel) with { HasOuterChecksum = false })
            .Verify(await VerifiedTraffic.RunAsync(pair.Ours, pair.Theirs, options, tunnel));
    }

    [Theory]
    [InlineData(UnderlayFamily.Ipv4)]
    [InlineData(UnderlayFamily.Ipv6)]
    public async Task Geneve_OpenVSwitchThatDemandsAnOption_TalksBothWays(UnderlayFamily family)
    {
        var options = new LabOptions { Family = family, TunnelPrefix = 30 };
        TunnelOptions tunnel = Plain with
        {
            SegmentLines = ["options: [{ class: 0x0102, type: 1, data: \"11223344\" }]"],
            Options = "0102010111223344",
        };
        await using OpenVSwitchPeer pair = await OpenVSwitchPeer.CreateAsync(options, tunnel);
        await pair.Switch.RequireOptionAsync(sent: "55667788", required: "11223344");

        VerifiedTraffic.Rules(pair.Ours, pair.Theirs, options, tunnel)
            .Verify(await VerifiedTraffic.RunAsync(pair.Ours, pair.Theirs, options, tunnel));
    }

    private static async Task RunAsync(LabOptions options, TunnelOptions tunnel, bool carriesEthernet = true)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(options);
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, tunnel);
        await network.StartDaemonAsync(network.B, tunnel);

        IReadOnlyList<CapturedDatagram> sent = await VerifiedTraffic.RunAsync(network.A, network.B, options, tunnel);

        Assert.Equal(options.OverlayMtu, Assert.Single((await daemon.StatusAsync()).Segments).Mtu);
        if (options.Wire) (VerifiedTraffic.Rules(network.A, network.B, options, tunnel) with { CarriesEthernet = carriesEthernet }).Verify(sent);
        StatusDocument status = await daemon.StatusAsync();
        if (tunnel.Egress != "auto") Assert.Equal(tunnel.Egress, Assert.Single(status.Segments).Mode);
        Assert.NotEqual(0, status.Queues.Sum(queue => queue.EgressOut.SuperPackets));
        Assert.NotEqual(0, status.Queues.Sum(queue => queue.IngressOut.SuperPackets));
    }
}
