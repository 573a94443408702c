using System.Diagnostics;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Daemon;

/// <summary>The daemon's routes come back when somebody takes them; those of others are left alone.</summary>
public sealed class RouteReconciliationTests
{
    [Fact]
    public async Task DeletedRoutes_OfTheDaemon_AreBackWithinASecondAndForeignOnesStay()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        RunningProcess daemon = await node.StartAsync();
        await node.Host.IpAsync("route add 198.51.100.0/24 dev overlay0 proto static", "route add blackhole 203.0.113.0/24 proto 99");
        string before = await RoutesAsync(node);
        Assert.Contains("10.244.2.0/24", before, StringComparison.Ordinal);

        await node.Host.IpAsync("route del 10.244.2.0/24");
        long start = Stopwatch.GetTimestamp();
        await daemon.WaitForTextAsync("had lost addresses, neighbours or routes", LoneNode.Deadline);
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(1), "the route took longer than a second to come back");
        Assert.Equal(before, await RoutesAsync(node));

        await node.Host.IpAsync("route del fd00:244:2::/64");
        start = Stopwatch.GetTimestamp();
        while (await RoutesAsync(node) != before)
            Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(1), "the IPv6 route took longer than a second to come back");

        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));
        Assert.Contains("203.0.113.0/24", await RoutesAsync(node), StringComparison.Ordinal);
    }

    private static async Task<string> RoutesAsync(LoneNode node) =>
        await node.Host.CheckAsync("ip", "route") + await node.Host.CheckAsync("ip", "-6", "route");
}
