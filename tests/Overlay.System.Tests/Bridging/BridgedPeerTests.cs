using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Bridging;

/// <summary>A bridged segment with a node at its other end that is not ours: the kernel's tunnel in a bridge, Open vSwitch's userspace bridge.</summary>
public sealed class BridgedPeerTests
{
    /// <summary>Payloads are left alone: at some ports tshark takes them for a protocol that they are not.</summary>
    private const string Unsound = "ip.checksum.status == Bad || udp.checksum.status == Bad || tcp.checksum.status == Bad || icmp.checksum.status == Bad";

    private static TunnelOptions Vxlan => new() { KernelChecksums = true };

    private static TunnelOptions Geneve => new() { Encapsulation = "geneve", Port = 6081 };

    [Theory]
    [InlineData(UnderlayFamily.Ipv4, KernelForwarding.Learned)]
    [InlineData(UnderlayFamily.Ipv6, KernelForwarding.Static)]
    public Task Bridge_WithKernelVxlan_CarriesEverythingBothWays(UnderlayFamily family, KernelForwarding forwarding) =>
        RunWithKernelAsync(family, Vxlan with { KernelForwarding = forwarding });

    [Fact]
    public Task Bridge_WithOpenVSwitchVxlan_CarriesEverythingBothWays() => RunWithOpenVSwitchAsync(UnderlayFamily.Ipv4, Vxlan);

    [Fact]
    public Task Bridge_WithOpenVSwitchGeneve_CarriesEverythingBothWays() => RunWithOpenVSwitchAsync(UnderlayFamily.Ipv6, Geneve);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Bridge_WithKernelVxlan_KeepsVlanTagsOrStripsAndRefusesThem(bool keeps)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { TunnelPrefix = 30 });
        TunnelOptions tunnel = Vxlan with { KernelForwarding = KernelForwarding.Learned, SegmentLines = [$"vlan: {(keeps ? "keep" : "strip")}"] };
        OverlayDaemon daemon = await StartAsync(network, tunnel);
        await BridgedPods.StartKernelAsync(network, network.B, tunnel);
        await using Capture capture = await Capture.StartAsync(network.A, network.B);

        if (keeps)
        {
            await BridgedPods.ExchangeAsync(network.A, network.B);
            await BridgedPods.FramesAsync(network.A, BridgedPods.Mac(network.B), count: 10, vlan: 7, network.B);
            await BridgedPods.FramesAsync(network.B, "ff:ff:ff:ff:ff:ff", count: 10, vlan: 9, network.A);
        }
        else
        {
            await BridgedPods.SendFramesAsync(network.B, "ff:ff:ff:ff:ff:ff", count: 10, vlan: 9);
            await BridgedPods.SendFramesAsync(network.A, "ff:ff:ff:ff:ff:ff", count: 10, vlan: 7);
            await StatusFigures.AtRestAsync(daemon, status => StatusFigures.Drops(status, "ingress-inner-vlan") >= 10);
        }
        await capture.CloseAsync();

        string[] sent = await BridgedPods.SelectAsync(capture.File, tunnel, $"(eth.type == {BridgedPods.Experimental} || vlan.etype == {BridgedPods.Experimental}) && {BridgedPods.FromPods}", "frame.number");
        string[] tags = await BridgedPods.SelectAsync(capture.File, tunnel, "vlan", "vlan.id");
        Assert.Equal(keeps ? Enumerable.Repeat("7", 10) : [], tags);
        Assert.True(sent.Length >= 10, $"{sent.Length} frames");
        Assert.Equal(keeps ? 0 : 10, StatusFigures.Drops(await daemon.StatusAsync(), "ingress-inner-vlan"));
    }

    private static async Task RunWithKernelAsync(UnderlayFamily family, TunnelOptions tunnel)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        OverlayDaemon daemon = await StartAsync(network, tunnel);
        await BridgedPods.StartKernelAsync(network, network.B, tunnel);

        await RunAsync(network, daemon, tunnel);

        string fdb = await network.B.Host.CheckAsync("bridge", "fdb", "show", "dev", "tunnel0");
        Assert.Contains($"{BridgedPods.Mac(network.A)} dst {network.A.Underlay} self", fdb, StringComparison.Ordinal);
    }

    private static async Task RunWithOpenVSwitchAsync(UnderlayFamily family, TunnelOptions tunnel)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        await BridgedPods.AddressAsync(network.B);
        // A userspace switch gets frames as they are in the device: nobody finishes their checksums.
        await network.B.Pod.CheckAsync("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off");
        await using OpenVSwitch openVSwitch = await OpenVSwitch.StartAsync(network.B, network.A, tunnel, "options:csum=true");
        await openVSwitch.AddPortAsync("pod0");
        OverlayDaemon daemon = await StartAsync(network, tunnel, network.A);

        await RunAsync(network, daemon, tunnel);
    }

    private static async Task RunAsync(LabNetwork network, OverlayDaemon daemon, TunnelOptions tunnel)
    {
        await using Capture capture = await Capture.StartAsync(network.A, network.B);
        await BridgedPods.ExchangeAsync(network.A, network.B);
        await capture.CloseAsync();

        Assert.Empty(await BridgedPods.SelectAsync(capture.File, tunnel, Unsound, "frame.number"));
        Assert.NotEmpty(await BridgedPods.SelectAsync(capture.File, tunnel, $"eth.type == {BridgedPods.Experimental} && {BridgedPods.FromPods}", "frame.number"));
        string[] sent = await BridgedPods.SelectAsync(capture.File, tunnel, $"frame.len > 1000 && !(eth.type == {BridgedPods.Experimental})", "eth.src");
        Assert.True(sent.Length > 1000, $"{sent.Length} large datagrams");
        Assert.Equal([BridgedPods.Mac(network.A)], sent.Distinct());
        string theirs = Assert.Single(await BridgedPods.FdbAsync(daemon, BridgedPods.Mac(network.B)));
        Assert.Contains($"{BridgedPods.Mac(network.B)} {network.B.Name} learned", theirs, StringComparison.Ordinal);
    }

    private static Task<OverlayDaemon> StartAsync(LabNetwork network, TunnelOptions tunnel) => StartAsync(network, tunnel, [.. network.Nodes]);

    private static async Task<OverlayDaemon> StartAsync(LabNetwork network, TunnelOptions tunnel, params LabNode[] bridges)
    {
        foreach (LabNode node in bridges) await BridgedPods.ConnectAsync(node);
        return await network.StartDaemonAsync(network.A, BridgedPods.Configuration(network, network.A, tunnel));
    }
}
