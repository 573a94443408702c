using System.Net;
using System.Text.RegularExpressions;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Pods;

/// <summary>What a node's pods and settings look like to the rest of the world, where the node is not configured the usual way.</summary>
public sealed partial class PodOutsideTests
{
    private static readonly string[] OverlayDevices = ["overlay0", "ovl4789q0"];

    private const string OtherAddress4 = "198.51.100.9";
    private const string OtherAddress6 = "2001:db8:99::9";

    [Fact]
    public async Task Masquerade_ExcludedDestinations_SeeThePodsOwnAddressesAndOthersTheNodes()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        LabNode outside = network.B;
        await using var node = new PodNode(network, network.A, new TunnelOptions())
        {
            Lines = [$"masqueradeExclude: [{outside.Underlay4}/32, \"{outside.Underlay6}/128\"]"],
        };
        await node.StartAsync();
        // No overlay at the other end: it is an outside host that has been told where the pods are.
        await outside.Host.IpAsync(
            $"route add {node.Range4} via {node.Node.Underlay4}", $"route add {node.Range6} via {node.Node.Underlay6}",
            $"address add {OtherAddress4}/32 dev lo", $"address add {OtherAddress6}/128 dev lo");
        await node.Node.Host.IpAsync($"route add {OtherAddress4} via {outside.Underlay4}", $"route add {OtherAddress6} via {outside.Underlay6}");
        (TestPod pod, CniOutcome added) = await node.AddPodAsync();

        foreach ((string destination, string source) in new[]
        {
            (outside.Underlay4, added.Addresses[0]), (outside.Underlay6, added.Addresses[1]),
            (OtherAddress4, node.Node.Underlay4), (OtherAddress6, node.Node.Underlay6),
        })
            Assert.Equal([IPAddress.Parse(source)], await TcpCheck.RunAsync(pod.Space, outside.Host, destination, 1, 1000));
    }

    [Theory]
    [InlineData("10.244.1.128/25", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")]
    [InlineData("fd00:244:1:0:1::/112", "net.ipv6.conf.all.forwarding", "net.ipv4.ip_forward")]
    public async Task Ranges_OfOneFamily_GivePodsThatOneOnly(string range, string needed, string other)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        await using var node = new PodNode(network, network.A, new TunnelOptions()) { Ranges = $"[\"{range}\"]" };
        await node.Node.Host.SysctlAsync("net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0");
        await node.StartAsync();

        (TestPod one, CniOutcome first) = await node.AddPodAsync();
        (TestPod two, CniOutcome second) = await node.AddPodAsync();

        string address = Assert.Single(second.Addresses);
        Assert.True(IPNetwork.Parse(range).Contains(IPAddress.Parse(address)), address);
        Assert.Single(first.Json["routes"]!.AsArray());
        Assert.Equal([IPAddress.Parse(first.Addresses[0])], await TcpCheck.RunAsync(one.Space, two.Space, address, 1, 1000));
        Assert.Single((await two.Space.CheckAsync("ip", "-o", "address", "show", "dev", "eth0", "scope", "global")).Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal("1", (await node.Node.Host.CheckAsync("sysctl", "-n", needed)).Trim());
        Assert.Equal("0", (await node.Node.Host.CheckAsync("sysctl", "-n", other)).Trim());
        Assert.Equal(100, (await node.AddAsync(await node.CreatePodAsync(), range[0] == 'f' ? "IP=10.244.1.140" : "IP=fd00:244:1:0:1::9")).Code);
        Assert.Equal(0, (await node.CallAsync("STATUS", PodNode.ConfigurationOf("1.1.0"))).Code);
        await node.AssertAddressesAreSoundAsync(2, 2);
        if (needed == "net.ipv4.ip_forward") await AssertNoPodIsARouterAsync(node, one, (string)first.Json["interfaces"]![1]!["mac"]!);
        foreach (TestPod pod in new[] { one, two }) Assert.Equal(0, (await node.DeleteAsync(pod)).Code);
        await node.AssertNothingLeftAsync();
    }

    [Theory]
    [InlineData("point-to-point")]
    [InlineData("bridge")]
    public async Task Settings_OfHostAndPod_AreChangedWhereTheyHaveToBeAndNowhereElse(string mode)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        await using var node = new PodNode(network, network.A, new TunnelOptions()) { Lines = [$"mode: {mode}"] };
        NetworkNamespace host = node.Node.Host;
        await host.SysctlAsync("net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0");
        TestPod pod = await node.CreatePodAsync();
        await pod.Space.SysctlAsync("net.ipv6.conf.default.disable_ipv6=1");
        Dictionary<string, string> hostBefore = await SettingsAsync(host);
        Dictionary<string, string> podBefore = await SettingsAsync(pod.Space);

        await node.StartAsync();
        CniOutcome added = await node.AddAsync(pod);

        Assert.True(added.ExitCode == 0, added.Output);
        // The kernel copies either into each interface's, and takes no redirects where it forwards IPv4.
        string[] changed = [.. Changed(hostBefore, await SettingsAsync(host))];
        // The overlay's own devices have settings of their own, which go with them; that a pod's end gives itself no IPv6 address is asked for by netlink.
        Assert.Equal(
            "net/ipv4/conf/*/forwarding = 1; net/ipv4/conf/all/accept_redirects = 0; net/ipv4/ip_forward = 1; net/ipv6/conf/*/forwarding = 1; net/ipv6/conf/ovp*/addr_gen_mode = 1",
            string.Join("; ", changed.Where(each => !OverlayDevices.Contains(each.Split('/').ElementAtOrDefault(3))).Select(each => HostInterface().Replace(each, "/ovp*/"))));
        Assert.Equal("net/ipv6/conf/eth0/disable_ipv6 = 0", string.Join("; ", Changed(podBefore, await SettingsAsync(pod.Space))));
    }

    /// <summary>A node that does not forward IPv6 takes routers' advertisements, but not those of pods.</summary>
    private static async Task AssertNoPodIsARouterAsync(PodNode node, TestPod pod, string mac)
    {
        await pod.Space.SysctlAsync("net.ipv6.conf.eth0.disable_ipv6=0");
        using (PacketSocket socket = await PacketSocket.OpenAsync(pod.Space, "eth0")) socket.Send(ForgedDiscovery.Router(mac));
        await Eventually.TrueAsync(
            async () => Regex.IsMatch(await node.Node.Host.CheckAsync("nft", "list", "table", "inet", "overlay-pods"), "nd-router-advert counter packets [1-9]"),
            Command.ShortDeadline, "the advertisement counted");
        Assert.DoesNotContain(ForgedDiscovery.Source, await node.Node.Host.CheckAsync("ip", "-6", "route"), StringComparison.Ordinal);
        // The daemon finds its table as it wrote it.
        Assert.DoesNotContain("of nftables was changed by somebody", node.Daemon.Log, StringComparison.Ordinal);
    }

    /// <summary>All that can be read below /proc/sys/net, but counters and the MTU of devices.</summary>
    private static async Task<Dictionary<string, string>> SettingsAsync(NetworkNamespace space)
    {
        string all = await space.CheckAsync("sh", "-c", "cd /proc/sys && find net -type f -perm -400 | xargs grep -H '' 2>/dev/null; true");
        return all.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(':', 2)).Where(pair => !pair[0].EndsWith("nf_conntrack_count", StringComparison.Ordinal) && !pair[0].EndsWith("/mtu", StringComparison.Ordinal))
            .GroupBy(pair => pair[0]).ToDictionary(key => key.Key, key => string.Join('\n', key.Select(pair => pair[1])));
    }

    /// <summary>What differs; of an interface that was not there, from what new ones have.</summary>
    private static IEnumerable<string> Changed(Dictionary<string, string> before, Dictionary<string, string> after) => after
        .Where(each => each.Value != (before.TryGetValue(each.Key, out string? was) ? was : before.GetValueOrDefault(OfNewInterface(each.Key))))
        .Select(each => (each.Key.EndsWith("/forwarding", StringComparison.Ordinal) ? OfAnyInterface(each.Key) : each.Key) + $" = {each.Value}").Distinct().Order(StringComparer.Ordinal);

    /// <summary>Only the host's first namespace has defaults of neighbours; elsewhere the loopback has them.</summary>
    private static string OfNewInterface(string key) => With(key, key.Contains("/neigh/", StringComparison.Ordinal) ? "lo" : "default");

    [GeneratedRegex("/ovp-[0-9a-f]+/")]
    private static partial Regex HostInterface();

    private static string OfAnyInterface(string key) => With(key, "*");

    /// <summary>net/FAMILY/conf/INTERFACE/NAME, or neigh instead of conf.</summary>
    private static string With(string key, string device)
    {
        string[] parts = key.Split('/');
        return parts.Length == 5 ? string.Join('/', [.. parts[..3], device, parts[4]]) : key;
    }
}
