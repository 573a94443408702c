using System.Diagnostics;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Daemon;

/// <summary>The daemon's routes come back when somebody takes them; those of others are left alone, whatever happens.</summary>
public sealed class RouteReconciliationTests
{
    private const string Mended = "of overlayd's routes were taken, changed or left over; they are as they should be";

    private static readonly string[] Foreign =
    [
        "route add 198.51.100.0/24 dev underlay0 proto static", "route add blackhole 203.0.113.0/24 proto 99", "route add 10.99.0.0/16 via 192.0.2.2 proto 99",
        "route add fd99::/64 dev underlay0 proto 99", "route add 10.244.2.0/24 dev underlay0 metric 5000 proto 80",
    ];

    /// <summary>Without an IPv4 address on the device, for a route goes with its source address, and so with the device of a daemon that crashed.</summary>
    private static readonly string Direct = LoneNode.Configuration.Replace("addresses: [10.244.1.0/32, ", "addresses: [", StringComparison.Ordinal)
        + "  - { prefix: 10.244.5.0/24, peer: node-b, direct: host-gw }\n  - { prefix: 10.244.6.0/24, peer: node-b, direct: host-gw }\n";

    [Fact]
    public async Task DeletedRoutes_OfTheDaemon_AreBackWithinASecondAndForeignOnesStay()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        node.Write(Direct);
        RunningProcess daemon = await node.StartAsync();
        await node.Host.IpAsync(Foreign);
        string before = await RoutesAsync(node);
        Assert.Contains("10.244.5.0/24 via 192.0.2.2 dev underlay0 proto 79", before, StringComparison.Ordinal);

        foreach (string route in new[] { "10.244.2.0/24 via 169.254.77.1", "10.244.5.0/24 via 192.0.2.2", "fd00:244:2::/64" })
        {
            await node.Host.IpAsync($"route del {route}");
            await BackAsync(node, before, route);
        }
        await daemon.WaitForTextAsync(Mended, LoneNode.Deadline);
    }

    [Theory]
    [InlineData("10.244.2.0/24", "")]
    [InlineData("fd00:244:2::/64", "metric 1024")]
    public async Task ReplacedRoute_OfTheDaemon_IsToldOfAndBackWithinASecondOfTheOtherOnesEndAndOthersBefore(string prefix, string metric)
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        node.Write(Direct);
        RunningProcess daemon = await node.StartAsync();
        string before = await RoutesAsync(node);

        await node.Host.IpAsync($"route replace {prefix} dev underlay0 {metric} proto 123");
        await daemon.WaitForTextAsync($"the kernel has a route to {prefix} that is not overlayd's", LoneNode.Deadline);
        string replaced = await RoutesAsync(node);
        Assert.Contains($"{prefix} dev underlay0 proto 123", replaced, StringComparison.Ordinal);

        await node.Host.IpAsync("route del 10.244.5.0/24 via 192.0.2.2");
        await BackAsync(node, replaced, "10.244.5.0/24");
        await node.Host.IpAsync($"route del {prefix} dev underlay0 {metric} proto 123");
        await BackAsync(node, before, prefix);
    }

    [Fact]
    public async Task ChangedRoute_BehindAForeignOneOfTheSamePrefix_IsRefusedAndTheForeignOneStays()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        node.Write(Direct);
        RunningProcess daemon = await node.StartAsync();
        await node.Host.IpAsync("route prepend 10.244.5.0/24 via 192.0.2.9 dev underlay0 proto 123");
        string before = await RoutesAsync(node);

        node.Write(Direct.Replace("10.244.5.0/24, peer: node-b, direct: host-gw", "10.244.5.0/24, peer: node-b", StringComparison.Ordinal));
        await LoneNode.ReloadAsync(daemon, "reload refused");

        Assert.Equal(before, await RoutesAsync(node));
    }

    [Fact]
    public async Task NextHop_ThatOthersAppendToAnIpv6Route_StaysWhileOursDoesAndAfterIt()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        node.Write(Direct);
        RunningProcess daemon = await node.StartAsync();
        await node.Host.IpAsync("route append fd00:244:2::/64 via fe80::99 dev underlay0 metric 1024 proto 123");
        string joined = await RoutesAsync(node);
        Assert.Contains("via fe80::99", joined, StringComparison.Ordinal);

        await node.Host.IpAsync("link add other0 type veth peer name other1", "route del 10.244.5.0/24 via 192.0.2.2");
        await BackAsync(node, joined, "10.244.5.0/24");
        await LoneNode.TerminateAsync(daemon);

        Assert.Contains("via fe80::99", await RoutesAsync(node), StringComparison.Ordinal);
    }

    [Fact]
    public async Task LeftOverRoutes_OfACrash_AreCleanedAtStartAndForeignOnesSurviveEverything()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        await node.Host.IpAsync(Foreign);
        string foreign = await ForeignAsync(node);
        node.Write(Direct);
        RunningProcess daemon = await node.StartAsync();
        Assert.Equal(foreign, await ForeignAsync(node));

        node.Write(Direct.Replace("10.244.6.0/24, peer: node-b, direct: host-gw", "10.244.7.0/24, peer: node-b", StringComparison.Ordinal));
        await LoneNode.ReloadAsync(daemon, "reloaded: revision 2");
        Assert.Equal(foreign, await ForeignAsync(node));
        Assert.DoesNotContain("10.244.6.0/24", await RoutesAsync(node), StringComparison.Ordinal);

        daemon.Signal(Libc.SignalKill);
        await LoneNode.EndAsync(daemon);
        Assert.Equal(foreign, await ForeignAsync(node));
        // It goes directly and not by the device, which went with the daemon.
        Assert.Contains("10.244.5.0/24 via 192.0.2.2 dev underlay0 proto 79", await RoutesAsync(node), StringComparison.Ordinal);

        node.Write(LoneNode.Configuration);
        daemon = await node.StartAsync();
        Assert.DoesNotContain("10.244.5.0/24", await RoutesAsync(node), StringComparison.Ordinal);
        Assert.Equal(foreign, await ForeignAsync(node));

        node.Write(Direct);
        await LoneNode.ReloadAsync(daemon, "reloaded: revision 2");
        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));
        Assert.Equal(foreign, await RoutesAsync(node));
    }

    private static async Task BackAsync(LoneNode node, string expected, string route)
    {
        long start = Stopwatch.GetTimestamp();
        while (await RoutesAsync(node) != expected)
            Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(1), $"{route} took longer than a second to come back");
    }

    private static async Task<string> RoutesAsync(LoneNode node) =>
        await node.Host.CheckAsync("ip", "route") + await node.Host.CheckAsync("ip", "-6", "route");

    /// <summary>Those without our protocol number, nor of the device, which the kernel makes.</summary>
    private static async Task<string> ForeignAsync(LoneNode node) => string.Join('\n', (await RoutesAsync(node)).Split('\n')
        .Where(line => !line.Contains("proto 79", StringComparison.Ordinal) && !line.Contains("overlay0", StringComparison.Ordinal)));
}
