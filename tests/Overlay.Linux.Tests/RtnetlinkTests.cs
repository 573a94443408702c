using System.Net;
using System.Text.Json;
using Overlay.Linux.Netlink;
using Overlay.Linux.Tests.Support;
using Overlay.Wire;

namespace Overlay.Linux.Tests;

/// <summary>What netlink sets is compared with what iproute2 shows, and the reverse.</summary>
public sealed class RtnetlinkTests : IDisposable
{
    private readonly NetworkNamespace _space = new();
    private readonly Rtnetlink _netlink;
    private readonly int _index;

    public RtnetlinkTests()
    {
        _space.Ip("link add veth0 type veth peer name veth1");
        _space.Ip("link set veth1 up");
        _netlink = _space.Run(() => new Rtnetlink());
        _index = _netlink.FindLink("veth0")!.Index;
    }

    public void Dispose()
    {
        _netlink.Dispose();
        _space.Dispose();
    }

    private JsonElement Shown => _space.IpJson("link show dev veth0")[0];

    [Fact]
    public void SetLink_EachProperty_IsShown()
    {
        var mac = new MacAddress([0x02, 1, 2, 3, 4, 5]);
        _netlink.SetMac(_index, mac);
        _netlink.SetMtu(_index, 1280);
        _netlink.SetUp(_index, up: true);

        JsonElement shown = Shown;
        Assert.Equal("02:01:02:03:04:05", shown.GetProperty("address").GetString());
        Assert.Equal(1280, shown.GetProperty("mtu").GetInt32());
        Assert.Contains("UP", shown.GetProperty("flags").EnumerateArray().Select(flag => flag.GetString()));
        Assert.Equal(new Link(_index, "veth0", "veth", mac, 1280, IsUp: true, HasCarrier: true), _netlink.FindLink("veth0"));

        _netlink.SetUp(_index, up: false);
        Assert.DoesNotContain("UP", Shown.GetProperty("flags").EnumerateArray().Select(flag => flag.GetString()));
    }

    [Fact]
    public void ListLinks_OfNamespace_HasAll() =>
        Assert.Equal(["lo", "veth0", "veth1"], _netlink.ListLinks().Select(link => link.Name).Order());

    [Fact]
    public void FindLink_Unknown_IsNull()
    {
        Assert.Null(_netlink.FindLink("absent0"));
        Assert.Null(_netlink.FindLink(1 << 20));
    }

    [Fact]
    public void FindLink_ByIndex_IsThatOfItsName() => Assert.Equal(_netlink.FindLink("veth0"), _netlink.FindLink(_index));

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void FindLink_IPv6OnOrOff_SaysSo(int disabled)
    {
        _space.Run(() => Sysctl.TrySet("net/ipv6/conf/veth0/disable_ipv6", $"{disabled}"));

        Assert.Equal(disabled == 1, _netlink.FindLink("veth0")!.IsIPv6Disabled);
        Assert.Equal(disabled == 1, _netlink.ListLinks().Single(link => link.Name == "veth0").IsIPv6Disabled);
    }

    [Fact]
    public void FindLink_IPv6OfLesserMtu_TellsBoth()
    {
        Assert.Equal((1500, 1500), MtusOf("veth0"));
        _space.Run(() => Sysctl.TrySet("net/ipv6/conf/veth0/mtu", "1300"));
        Assert.Equal((1500, 1300), MtusOf("veth0"));

        (int, int) MtusOf(string name) => _netlink.FindLink(name) is { } link ? (link.Mtu, link.Ipv6Mtu) : default;
    }

    [Theory]
    [InlineData("192.0.2.7", 24)]
    [InlineData("10.244.1.0", 32)]
    [InlineData("2001:db8::7", 64)]
    [InlineData("fd00:244:1::", 128)]
    public void AddAddress_EitherFamily_IsShownUsableAndDeleted(string text, int prefixLength)
    {
        _netlink.SetUp(_index, up: true);
        var address = new AssignedAddress(_index, IPAddress.Parse(text), prefixLength);
        _netlink.AddAddress(address);

        JsonElement shown = _space.IpJson("address show dev veth0 scope global")[0].GetProperty("addr_info")[0];
        Assert.Equal(text, shown.GetProperty("local").GetString());
        Assert.Equal(prefixLength, shown.GetProperty("prefixlen").GetInt32());
        Assert.False(shown.TryGetProperty("tentative", out _));
        Assert.Contains(address, _netlink.ListAddresses(_index));

        var exception = Assert.Throws<LinuxException>(() => _netlink.AddAddress(address));
        Assert.Equal(Interop.Errno.EEXIST, exception.Errno);

        _netlink.DeleteAddress(address);
        Assert.DoesNotContain(address, _netlink.ListAddresses(_index));
    }

    [Theory]
    [InlineData("10.244.0.0/16", "169.254.77.1", "10.244.1.0")]
    [InlineData("fd00:244:2::/64", "fe80::77", "fd00:244:1::")]
    public void AddRoute_OnLinkGateway_IsShownReplacedAndDeleted(string prefix, string gateway, string source)
    {
        IPAddress address = IPAddress.Parse(source);
        _netlink.SetUp(_index, up: true);
        _netlink.AddAddress(new AssignedAddress(_index, address, address.GetAddressBytes().Length * 8));
        var route = new Route(IPNetwork.Parse(prefix), _index)
        {
            Gateway = IPAddress.Parse(gateway),
            OnLink = true,
            PreferredSource = address,
            Protocol = 99,
            Metric = 77,
        };
        _netlink.AddRoute(route);

        string family = prefix.Contains(':', StringComparison.Ordinal) ? "-6" : "-4";
        JsonElement shown = Assert.Single(_space.IpJson($"{family} route show proto 99"));
        Assert.Equal(prefix, shown.GetProperty("dst").GetString());
        Assert.Equal(gateway, shown.GetProperty("gateway").GetString());
        Assert.Equal(source, shown.GetProperty("prefsrc").GetString());
        Assert.Equal(77, shown.GetProperty("metric").GetInt32());
        Assert.Contains("onlink", shown.GetProperty("flags").EnumerateArray().Select(flag => flag.GetString()));
        Assert.Contains(route, _netlink.ListRoutes());

        Assert.Equal(Interop.Errno.EEXIST, Assert.Throws<LinuxException>(() => _netlink.AddRoute(route)).Errno);
        Route replaced = route with { PreferredSource = null };
        _netlink.ReplaceRoute(replaced);
        Assert.Equal(replaced, Assert.Single(_netlink.ListRoutes(), listed => listed.Protocol == 99));

        _netlink.DeleteRoute(replaced);
        Assert.Empty(_space.IpJson($"{family} route show proto 99"));
        Assert.Equal(Interop.Errno.ESRCH, Assert.Throws<LinuxException>(() => _netlink.DeleteRoute(replaced)).Errno);
    }

    [Theory]
    [InlineData("192.0.2.0/24", "192.0.2.9", "192.0.2.1")]
    [InlineData("2001:db8::/64", "2001:db8::9", "2001:db8::1")]
    public void FindWay_EitherFamily_IsTheRoutesInterfaceAndConfiguredMtu(string network, string destination, string source)
    {
        _netlink.SetUp(_index, up: true);
        _netlink.AddAddress(new AssignedAddress(_index, IPAddress.Parse(source), IPNetwork.Parse(network).PrefixLength));
        IPAddress to = IPAddress.Parse(destination);
        Assert.Equal(new RouteWay(_index, null), _netlink.FindWay(to, IPAddress.Parse(source), 0));
        Assert.Equal(new RouteWay(_index, null), _netlink.FindWay(to, null, _index));

        _space.Ip($"route add {to}/{to.GetAddressBytes().Length * 8} dev veth0 mtu 1333");
        Assert.Equal(new RouteWay(_index, 1333), _netlink.FindWay(to, IPAddress.Parse(source), 0));
    }

    [Theory]
    [InlineData("203.0.113.9")]
    [InlineData("2001:db8:1::9")]
    public void FindWay_NoneOrARefusingRoute_IsNull(string destination)
    {
        IPAddress to = IPAddress.Parse(destination);
        Assert.Null(_netlink.FindWay(to, null, 0));

        _space.Ip($"route add blackhole {to}/{to.GetAddressBytes().Length * 8}");
        Assert.Null(_netlink.FindWay(to, null, 0));
    }

    [Fact]
    public void AddRoute_UnreachableGateway_CarriesTheKernelsExplanation()
    {
        _netlink.SetUp(_index, up: true);
        var route = new Route(IPNetwork.Parse("10.1.0.0/16"), _index) { Gateway = IPAddress.Parse("10.99.0.1") };
        var exception = Assert.Throws<LinuxException>(() => _netlink.AddRoute(route));
        Assert.Equal(Interop.Errno.ENETUNREACH, exception.Errno);
        Assert.Contains("Nexthop has invalid gateway", exception.Message, StringComparison.Ordinal);
        Assert.Contains("10.1.0.0/16", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ListRoutes_ThousandsOfThem_AllArrive()
    {
        _netlink.SetUp(_index, up: true);
        for (int i = 0; i < 3000; i++)
            _netlink.AddRoute(new Route(new IPNetwork(new IPAddress([10, (byte)(i >> 8), (byte)i, 0]), 24), _index) { Protocol = 99 });
        Assert.Equal(3000, _netlink.ListRoutes().Count(route => route.Protocol == 99));
    }

    [Fact]
    public void ChangeRoutes_ThousandsWithSomeRefused_MakesTheOthersAndTellsWhich()
    {
        _netlink.SetUp(_index, up: true);
        Route[] routes = [.. Enumerable.Range(0, 3000).Select(i => new Route(
            i % 2 == 0 ? new IPNetwork(new IPAddress([10, (byte)(i >> 8), (byte)i, 0]), 24) : IPNetwork.Parse($"fd00:{i:x}::/32"), _index)
        {
            Protocol = 99,
            Metric = 1024,
        })];
        _netlink.AddRoute(routes[70]);

        RouteFailure refused = Assert.Single(_netlink.ChangeRoutes([.. routes.Select(route => new RouteChange(RouteVerb.Add, route))]));
        Assert.Equal((70, true), (refused.Index, refused.Failure.AlreadyExists));
        Assert.Equal(routes.ToHashSet(), _netlink.ListRoutes().Where(route => route.Protocol == 99).ToHashSet());
        Assert.Equal(3000, _space.IpJson("-4 route show proto 99").Count + _space.IpJson("-6 route show proto 99").Count);

        Assert.Empty(_netlink.ChangeRoutes([.. routes.Skip(1).Select(route => new RouteChange(RouteVerb.Delete, route))]));
        IReadOnlyList<RouteFailure> gone = _netlink.ChangeRoutes([.. routes.Select(route => new RouteChange(RouteVerb.Delete, route))]);
        Assert.Equal(Enumerable.Range(1, 2999), gone.Select(failure => failure.Index));
        Assert.All(gone, failure => Assert.Equal(Interop.Errno.ESRCH, failure.Failure.Errno));
    }

    [Theory]
    [InlineData("169.254.77.1")]
    [InlineData("fe80::77")]
    public void SetNeighbour_EitherFamily_IsShownReplacedAndDeleted(string text)
    {
        _netlink.SetUp(_index, up: true);
        IPAddress address = IPAddress.Parse(text);
        _netlink.SetNeighbour(new Neighbour(_index, address, new MacAddress([2, 0, 0, 0, 0, 1])));
        var neighbour = new Neighbour(_index, address, new MacAddress([2, 0, 0, 0, 0, 2]));
        _netlink.SetNeighbour(neighbour);

        JsonElement shown = Assert.Single(_space.IpJson("neighbour show dev veth0 nud permanent"));
        Assert.Equal(text, shown.GetProperty("dst").GetString());
        Assert.Equal("02:00:00:00:00:02", shown.GetProperty("lladdr").GetString());
        Assert.Equal(neighbour, Assert.Single(_netlink.ListNeighbours(_index), entry => entry.Address.Equals(address)));

        _netlink.DeleteNeighbour(_index, address);
        Assert.Empty(_space.IpJson("neighbour show dev veth0 nud permanent"));
        Assert.Equal(Interop.Errno.ENOENT, Assert.Throws<LinuxException>(() => _netlink.DeleteNeighbour(_index, address)).Errno);
    }
}
