using System.Net;
using System.Diagnostics;
using Overlay.Linux.Netlink;
using Overlay.Linux.Tests.Support;

namespace Overlay.Linux.Tests;

/// <summary>What iproute2 does is told of; what the ignored netlink socket does is not.</summary>
public sealed class NetlinkMonitorTests : IDisposable
{
    private const int DeadlineMilliseconds = 30_000;

    private readonly NetworkNamespace _space = new();
    private readonly Rtnetlink _own;
    private readonly NetlinkMonitor _monitor;

    public NetlinkMonitorTests()
    {
        _space.Ip("link add veth0 type veth peer name veth1");
        _space.Ip("link set veth1 up");
        _space.Ip("link set veth0 up");
        _own = _space.Run(() => new Rtnetlink());
        _monitor = _space.Run(() => new NetlinkMonitor(_own));
    }

    public void Dispose()
    {
        _monitor.Dispose();
        _own.Dispose();
        _space.Dispose();
    }

    [Fact]
    public void Wait_MtuAndStateOfALink_AreTold()
    {
        _space.Ip("link set veth0 mtu 1400");
        Assert.Equal(1400, Next<LinkEvent>(each => each.Link is { Name: "veth0", Mtu: 1400 }).Link.Mtu);
        _space.Ip("link set veth0 down");
        Next<LinkEvent>(each => each.Link is { Name: "veth0", IsUp: false } && !each.IsGone);
        _space.Ip("link del veth0");
        Next<LinkEvent>(each => each.Link.Name == "veth0" && each.IsGone);
    }

    [Theory]
    [InlineData("192.0.2.7", 24)]
    [InlineData("2001:db8::7", 64)]
    public void Wait_AddressAddedAndDeleted_IsTold(string address, int length)
    {
        _space.Ip($"address add {address}/{length} dev veth0{(address.Contains(':', StringComparison.Ordinal) ? " nodad" : "")}");
        AddressEvent added = Next<AddressEvent>(each => each.Address.Address.Equals(IPAddress.Parse(address)));
        Assert.Equal((length, false), (added.Address.PrefixLength, added.IsGone));
        _space.Ip($"address del {address}/{length} dev veth0");
        Next<AddressEvent>(each => each.Address.Address.Equals(IPAddress.Parse(address)) && each.IsGone);
    }

    [Theory]
    [InlineData("10.1.0.0/16")]
    [InlineData("2001:db8:1::/48")]
    public void Wait_RoutesOfOthersAndOwn_OnlyTheOthersAreTold(string prefix)
    {
        IPNetwork own = IPNetwork.Parse(prefix.Replace("1", "2", StringComparison.Ordinal).Replace("2002", "2001", StringComparison.Ordinal));
        var route = new Route(own, _own.FindLink("veth0")!.Index) { Protocol = 99 };
        _own.AddRoute(route);
        _own.DeleteRoute(route);
        _space.Ip($"route add unreachable {prefix} proto 98");
        _space.Ip($"route del unreachable {prefix} proto 98");
        var told = new List<RouteEvent>();
        do
        {
            told.Add(Next<RouteEvent>(_ => true));
        }
        while (!told[^1].IsGone || told[^1].Route.Protocol != 98);
        Assert.DoesNotContain(told, each => each.Route.Protocol == 99);
        Assert.Contains(told, each => each.Route.Kind == RouteKind.Unreachable && each.Route.Destination == IPNetwork.Parse(prefix) && !each.IsGone);
    }

    [Fact]
    public void Wait_MoreEventsThanFit_TellsOfTheLossAndGoesOn()
    {
        using Rtnetlink other = _space.Run(() => new Rtnetlink());
        int index = other.FindLink("veth0")!.Index;
        for (int i = 0; i < 40_000; i++)
            other.AddRoute(new Route(new IPNetwork(new IPAddress([10, (byte)(i >> 8), (byte)i, 0]), 24), index) { Protocol = 99 });
        Next<EventsLost>(_ => true);
        _space.Ip("link set veth0 mtu 1300");
        Next<LinkEvent>(each => each.Link is { Name: "veth0", Mtu: 1300 });
    }

    [Fact]
    public void Wait_Woken_EndsWithoutAnEvent()
    {
        _monitor.Wake();
        long start = Stopwatch.GetTimestamp();
        Assert.False(_monitor.Wait([], DeadlineMilliseconds));
        Assert.True(Stopwatch.GetElapsedTime(start).TotalMilliseconds < DeadlineMilliseconds);
    }

    private readonly Queue<NetlinkEvent> _pending = [];

    private T Next<T>(Predicate<T> matches)
        where T : NetlinkEvent
    {
        long start = Stopwatch.GetTimestamp();
        var events = new List<NetlinkEvent>();
        while (true)
        {
            while (_pending.TryDequeue(out NetlinkEvent? next))
            {
                if (next is T found && matches(found)) return found;
            }
            int left = DeadlineMilliseconds - (int)Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            Assert.True(left > 0, $"no {typeof(T).Name} within {DeadlineMilliseconds} ms");
            events.Clear();
            _monitor.Wait(events, left);
            events.ForEach(_pending.Enqueue);
        }
    }
}
