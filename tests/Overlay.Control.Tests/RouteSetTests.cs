using System.Net;
using Overlay.Control.Model;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Control.Tests;

public sealed class RouteSetTests
{
    [Fact]
    public void Of_RoutesToOnePrefix_PutsTheBestFirst()
    {
        RouteState controller = Route("10.0.0.0/8", "c") with { Source = RouteSource.Controller };
        RouteState block = Route("10.0.0.0/8", "b") with { Source = RouteSource.Block };
        RouteState configured = Route("10.0.0.0/8", "a") with { Metric = 7 };
        RouteState better = Route("10.0.0.0/8", "d") with { Metric = 3 };
        RouteState first = Route("10.0.0.0/8", "e") with { Source = RouteSource.Controller, Priority = 1 };

        RouteSet set = RouteSet.Of([controller, block, configured, better, first]);

        Assert.Equal(["e", "d", "a", "b", "c"], set.Select(route => route.Target.Text));
        Assert.Equal([false, true, true, true, true], Enumerable.Range(0, 5).Select(set.IsBeaten));
    }

    [Fact]
    public void FindAndCovering_AnySet_EqualALinearScan() => Seeded.Check(200, random =>
    {
        var routes = new List<RouteState>();
        for (int i = random.Next(60); i > 0; i--) routes.Add(RandomRoute(random));
        RouteSet set = RouteSet.Of(routes);
        Assert.Equal(routes.Count, set.Count);
        foreach (string segment in new[] { "a", "b", "c" })
        {
            Assert.Equal(routes.Count(route => route.Segment == segment), set.OfSegment(segment).Length);
            RouteState asked = RandomRoute(random);
            Assert.Equal(
                routes.Count(route => route.Segment == segment && route.Prefix.Equals(asked.Prefix)),
                set.Find(segment, asked.Address, asked.Length).Length);
            IPAddress address = IpBits.ToAddress(asked.Address);
            Assert.Equal(
                routes.Where(route => route.Segment == segment && route.Prefix.Contains(address)).Select(route => route.ToString()).Order(),
                set.Covering(segment, asked.Address).Select(route => route.ToString()).Order());
        }
    });

    private static RouteState RandomRoute(Random random)
    {
        bool isV4 = random.Next(2) == 0;
        int bits = isV4 ? 32 : 128;
        int length = random.Next(4) switch { 0 => 0, 1 => bits, _ => random.Next(bits + 1) };
        UInt128 address = isV4 ? (UInt128)(uint)(random.Next(4) << 30) : (UInt128)(uint)random.Next(4) << 126;
        address = length == 0 ? 0 : address >> (bits - length) << (bits - length);
        return new RouteState(isV4 ? IpBits.Mapped((uint)address) : address, length, RouteTargetState.To("peer"), random.Next(3) == 0 ? "a" : "b");
    }

    private static RouteState Route(string prefix, string peer) => new(IPNetwork.Parse(prefix), peer, "pods");
}
