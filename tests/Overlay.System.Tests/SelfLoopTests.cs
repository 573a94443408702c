using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests;

/// <summary>
/// A route of the host's leads the tunnel's own packets back into the daemon's device, which routes everything: no packet runs in a loop, and
/// traffic is back when the route is gone.
/// </summary>
public sealed class SelfLoopTests
{
    [Theory]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.GeneveIp, UnderlayFamily.Ipv6)]
    [InlineData((int)HostileTunnel.IpInIp, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.IpInIp, UnderlayFamily.Ipv6)]
    public async Task Encapsulate_RouteOfThePeerLeadsIntoTheDevice_IsCountedOnceAPacket(int tunnel, UnderlayFamily family)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        LabNode a = network.A, b = network.B;
        // Without an interface the sockets follow the host's routes.
        TunnelOptions options = Encapsulation.Of((HostileTunnel)tunnel) with { HasInterface = false };
        DaemonConfiguration everything = DaemonConfiguration.For(a, [b], options);
        everything.Routes.Add((family == UnderlayFamily.Ipv4 ? "0.0.0.0/0" : "::/0", b.Name));
        OverlayDaemon daemon = await network.StartDaemonAsync(a, everything);
        await network.StartDaemonAsync(b, options);
        Assert.Equal(1, (await Ping.RunAsync(a.Pod, b.Pod4, size: 56)).Received);

        string route = $"{b.Underlay}/{(family == UnderlayFamily.Ipv4 ? 32 : 128)}";
        // By the next hop that overlay routes have: the daemon keeps no other neighbour on its device.
        string hop = family == UnderlayFamily.Ipv4 ? "via 169.254.77.1 dev overlay0 onlink" : "via fe80::4d01 dev overlay0";
        await a.Host.IpAsync($"route add {route} {hop}");
        Assert.Equal(0, (await Ping.FloodAsync(a.Pod, b.Pod4, count: 3)).Received);
        StatusDocument status = await StatusFigures.AtRestAsync(daemon);
        await a.Host.IpAsync($"route delete {route} {hop}");

        Assert.InRange(StatusFigures.Drops(status, "egress-loop"), 3, 20);
        await TrafficIsBackAsync(a, b);
    }

    /// <summary>
    /// Without a next hop the kernel asks for the peer's MAC on the device; there, over IPv6, it has no address to ask from, so that what was
    /// sent would be lost without a trace.
    /// </summary>
    [Theory]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv6)]
    [InlineData((int)HostileTunnel.IpInIp, UnderlayFamily.Ipv6)]
    public async Task Encapsulate_RouteOfThePeerLeadsIntoTheDeviceWithoutANextHop_IsToldAndEachPacketCounted(int tunnel, UnderlayFamily family)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        LabNode a = network.A, b = network.B;
        TunnelOptions options = Encapsulation.Of((HostileTunnel)tunnel) with { HasInterface = false };
        OverlayDaemon daemon = await network.StartDaemonAsync(a, options);
        await network.StartDaemonAsync(b, options);
        Assert.Equal(1, (await Ping.RunAsync(a.Pod, b.Pod4, size: 56)).Received);
        StatusDocument before = await StatusFigures.AtRestAsync(daemon);

        string route = $"{b.Underlay}/{(family == UnderlayFamily.Ipv4 ? 32 : 128)} dev overlay0";
        await a.Host.IpAsync($"route add {route}");
        await daemon.WaitForLogAsync($"the host's route to peer '{b.Name}' leads into overlay0");
        Assert.Equal(0, (await Ping.FloodAsync(a.Pod, b.Pod4, count: 20)).Received);
        StatusDocument status = await StatusFigures.AtRestAsync(daemon);
        await a.Host.IpAsync($"route delete {route}");

        Assert.True(Assert.Single(status.Peers).Path.LeadsBack);
        Assert.Equal(20, StatusFigures.Drops(status, "egress-loop") - StatusFigures.Drops(before, "egress-loop"));
        Assert.Equal(before.Queues.Sum(queue => queue.EgressOut.Packets), status.Queues.Sum(queue => queue.EgressOut.Packets));
        await TrafficIsBackAsync(a, b);
    }

    private static Task TrafficIsBackAsync(LabNode a, LabNode b) => Eventually.TrueAsync(
        async () => (await Ping.RunAsync(a.Pod, b.Pod4, size: 56)).Received == 1, TimeSpan.FromSeconds(30), "traffic goes on once the route is gone");

    [Fact]
    public async Task Reload_PeerThatIsThisNodeOrARouteOfItsEnd_IsRefusedAndTrafficGoesOn()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        LabNode a = network.A, b = network.B;
        TunnelOptions options = Encapsulation.Of(HostileTunnel.IpInIp);
        OverlayDaemon daemon = await network.StartDaemonAsync(a, options);
        await network.StartDaemonAsync(b, options);
        await a.Host.IpAsync("address add 203.0.113.9/32 dev lo");

        DaemonConfiguration sound = DaemonConfiguration.For(a, [b], options);
        await daemon.ReloadAsync(sound with
        {
            Text = sound.ToYaml("SOCKET").Replace($"address: \"{b.Underlay}\"", "address: 203.0.113.9", StringComparison.Ordinal),
        });
        await daemon.WaitForLogAsync("address 203.0.113.9 of peer 'node-b' is this node's own");
        sound.Routes.Add(("192.0.2.0/24", b.Name));
        await daemon.ReloadAsync(sound);
        await daemon.WaitForLogAsync("route 192.0.2.0/24 holds the underlay address 192.0.2.2 of peer 'node-b'");

        Assert.Equal(1, (await daemon.StatusAsync()).Revision);
        Assert.Equal(1, (await Ping.RunAsync(a.Pod, b.Pod4, size: 56)).Received);
    }
}
