using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Mtu;

/// <summary>A kernel VXLAN device answers no probes; what routers tell of packets that were too big is taken instead.</summary>
public sealed class PathEvidenceTests(KernelPeer<RoutedKernel> pair) : IClassFixture<KernelPeer<RoutedKernel>>
{
    [Fact]
    public async Task Tcp_KernelPeerBehindSmallerPath_IcmpIsHeeded()
    {
        await UnderlayMtu.UntilAsync(status => status.Peers[0].Path.State == "unanswered", pair.Daemon);
        PathStatus before = (await pair.Daemon.StatusAsync()).Peers[0].Path;
        Assert.Equal((1500, "interface"), (before.Mtu, before.Evidence));

        await TcpCheck.RunAsync(pair.Ours.Pod, pair.Kernel.Pod, pair.Kernel.Pod4, streams: 1, bytes: 4 << 20);

        PathStatus after = (await pair.Daemon.StatusAsync()).Peers[0].Path;
        Assert.Equal((1400, "icmp", false), (after.Mtu, after.Evidence, after.BlackHole));
    }
}

/// <summary>Neither the peer nor a router tells anything: what is left are the segments that TCP sends again.</summary>
public sealed class PathRepeatsTests(KernelPeer<RoutedKernelQuiet> pair) : IClassFixture<KernelPeer<RoutedKernelQuiet>>
{
    [Fact]
    public async Task Tcp_KernelPeerBehindSmallerPathWithoutIcmp_ArrivesAndRaisesTheAlarm()
    {
        await UnderlayMtu.UntilAsync(status => status.Peers[0].Path.State == "unanswered", pair.Daemon);

        await TcpCheck.RunAsync(pair.Ours.Pod, pair.Kernel.Pod, pair.Kernel.Pod4, streams: 1, bytes: 4 << 20);

        PathStatus path = (await pair.Daemon.StatusAsync()).Peers[0].Path;
        Assert.Equal((1280, "tcp-repeats", true), (path.Mtu, path.Evidence, path.BlackHole));
        await pair.Daemon.WaitForLogAsync("black hole on the way to peer node-b (192.0.2.2:8472): packets of more than 1280 bytes are lost without an ICMP error");
        string peers = await Command.CheckAsync(Command.ShortDeadline, null, Repository.Client, "peers", "--socket", pair.Daemon.Socket);
        Assert.Contains("ALARM: black hole on the way to node-b", peers, StringComparison.Ordinal);
    }
}

/// <summary>Probes go through every encapsulation.</summary>
public sealed class PathOfEncapsulationTests
{
    public static TheoryData<string, string[], int, UnderlayFamily> Encapsulations => new()
    {
        { "geneve", [], 22, UnderlayFamily.Ipv4 },
        { "geneve", ["payload: ip"], 8, UnderlayFamily.Ipv6 },
        { "ipip", [], -8, UnderlayFamily.Ipv4 },
        { "ipip", [], -8, UnderlayFamily.Ipv6 },
    };

    [Theory]
    [MemberData(nameof(Encapsulations))]
    public async Task Path_SmallerWithoutIcmp_IsFoundExactly(string encapsulation, string[] lines, int prefix, UnderlayFamily family)
    {
        var tunnel = new TunnelOptions { Encapsulation = encapsulation, Port = 6081, SegmentLines = lines };
        LabOptions options = RoutedPath.Options with { Family = family, TunnelPrefix = prefix };
        await using LabNetwork network = await LabNetwork.CreateAsync(options);
        OverlayDaemon near = await network.StartDaemonAsync(network.A, tunnel);
        OverlayDaemon far = await network.StartDaemonAsync(network.B, tunnel);

        await UnderlayMtu.FoundAsync(options.MiddleMtu, near, far);
        await TcpCheck.RunAsync(network.A.Pod, network.B.Pod, network.B.Pod6, streams: 1, bytes: 1 << 20);
    }
}
