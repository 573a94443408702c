using System.Text.Json;
using Overlay.Linux.Namespaces;
using Overlay.Linux.Netlink;
using Overlay.Linux.Tests.Support;
using Overlay.Wire;

namespace Overlay.Linux.Tests;

/// <summary>Pairs that reach from one namespace into another, compared with what iproute2 shows.</summary>
public sealed class VethTests : IDisposable
{
    private static readonly MacAddress MacHere = new([0x02, 0, 0, 0, 0, 1]);
    private static readonly MacAddress MacThere = new([0x02, 0, 0, 0, 0, 2]);

    private readonly NetworkNamespace _here = new();
    private readonly NetworkNamespace _there = new();
    private readonly NetworkNamespaceFile _thereFile;
    private readonly Rtnetlink _netlink;

    public VethTests()
    {
        _netlink = _here.Run(() => new Rtnetlink());
        _thereFile = _there.Run(NetworkNamespaceFile.Current);
    }

    public void Dispose()
    {
        _thereFile.Dispose();
        _netlink.Dispose();
        _here.Dispose();
        _there.Dispose();
    }

    [Fact]
    public void AddVeth_IntoNamespace_BothEndsAreAsAsked()
    {
        _netlink.AddVeth(new VethEnd("ovp1", MacHere), new VethEnd("eth0", MacThere), _thereFile, 1430);
        _netlink.DisableAddressGeneration(_netlink.FindLink("ovp1")!.Index);

        JsonElement here = _here.IpJson("link show dev ovp1")[0];
        JsonElement there = _there.IpJson("link show dev eth0")[0];
        Assert.Equal(("02:00:00:00:00:01", 1430), (here.GetProperty("address").GetString(), here.GetProperty("mtu").GetInt32()));
        Assert.Equal(("02:00:00:00:00:02", 1430), (there.GetProperty("address").GetString(), there.GetProperty("mtu").GetInt32()));
        Assert.Equal("none", here.GetProperty("inet6_addr_gen_mode").GetString());

        _netlink.DeleteLink(_netlink.FindLink("ovp1")!.Index);
        Assert.Equal(["lo"], _there.IpJson("link show").Select(link => link.GetProperty("ifname").GetString()));
        Assert.Null(_netlink.FindLink("ovp1"));
    }

    [Fact]
    public void AddVeth_NameTakenThere_IsRefusedAndNothingIsMade()
    {
        _there.Ip("link add eth0 type veth peer name other0");

        LinuxException refused = Assert.Throws<LinuxException>(
            () => _netlink.AddVeth(new VethEnd("ovp1", MacHere), new VethEnd("eth0", MacThere), _thereFile, 1430));

        Assert.True(refused.AlreadyExists);
        Assert.Null(_netlink.FindLink("ovp1"));
    }

    [Fact]
    public void AddBridge_WithPortOfOneStation_IsShown()
    {
        _netlink.AddBridge("br0", MacHere, 1400);
        _netlink.AddVeth(new VethEnd("ovp1", MacHere), new VethEnd("eth0", MacThere), _thereFile, 1400);
        int port = _netlink.FindLink("ovp1")!.Index;
        _netlink.SetMaster(port, _netlink.FindLink("br0")!.Index);
        _netlink.SetStation(port, MacThere);

        Assert.Equal(1400, _here.IpJson("link show dev br0")[0].GetProperty("mtu").GetInt32());
        Assert.True(_here.IpJson("link show dev ovp1")[0].GetProperty("linkinfo").GetProperty("info_slave_data").GetProperty("hairpin").GetBoolean());
        Assert.False(_here.IpJson("link show dev ovp1")[0].GetProperty("linkinfo").GetProperty("info_slave_data").GetProperty("learning").GetBoolean());
        Assert.Contains($"{MacThere} master br0 static", _here.Execute("bridge", "fdb", "show", "dev", "ovp1"), StringComparison.Ordinal);
    }

    [Fact]
    public void Run_InNamespace_SeesItAndComesBack()
    {
        string[] seen = _here.Run(() =>
        {
            using NetworkNamespaceFile home = NetworkNamespaceFile.Current();
            string inside = _thereFile.Run(home, () => NetworkNamespaceFile.Current().Identity.ToString());
            return new[] { inside, home.Identity.ToString(), NetworkNamespaceFile.Current().Identity.ToString() };
        });

        Assert.Equal(_thereFile.Identity.ToString(), seen[0]);
        Assert.Equal(seen[1], seen[2]);
        Assert.NotEqual(seen[0], seen[1]);
    }

    [Theory]
    [InlineData("/run/netns/absent-namespace")]
    [InlineData("/proc/4194305/ns/net")]
    [InlineData("/etc/hostname")]
    public void Open_NoNamespace_IsNull(string path) => Assert.Null(NetworkNamespaceFile.Open(path));
}
