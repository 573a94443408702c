namespace Overlay.SystemTests.Lab;

/// <summary>Three hops between two nodes: node-a, a router, a middle link, a router, node-b. The middle link may carry less than the others.</summary>
internal sealed class RoutedUnderlay
{
    private const string Port = "port0";
    private const string Middle = "middle0";

    private const string NoIcmp = """
        table inet quiet {
          chain out { type filter hook output priority 0; meta l4proto icmp drop; icmpv6 type { 1, 2, 3, 4, 128, 129 } drop; }
          chain through { type filter hook forward priority 0; meta l4proto icmp drop; icmpv6 type { 1, 2, 3, 4, 128, 129 } drop; }
        }
        """;

    private readonly NetworkNamespace[] _routers;

    private RoutedUnderlay(NetworkNamespace[] routers) => _routers = routers;

    /// <summary>Connects two nodes, whose devices are configured afterwards.</summary>
    public static async Task<RoutedUnderlay> CreateAsync(LabNode a, LabNode b, LabOptions options, Func<string, Task<NetworkNamespace>> create)
    {
        NetworkNamespace[] routers = [await create("router-1"), await create("router-2")];
        await routers[0].IpAsync($"link add {Middle} type veth peer name {Middle} netns {routers[1].Name}");
        LabNode[] nodes = [a, b];
        for (int i = 0; i < nodes.Length; i++)
        {
            (NetworkNamespace router, LabNode near, LabNode far) = (routers[i], nodes[i], nodes[1 - i]);
            await router.SysctlAsync("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
            await router.IpAsync(
                $"link add {Port} mtu {options.UnderlayMtu} type veth peer name {LabNode.UnderlayDevice} netns {near.Host.Name}",
                $"link set {Middle} mtu {options.MiddleMtu}",
                $"address add {PortAddress4(near)}/32 dev {Port}", $"address add {PortAddress6(near)}/128 dev {Port}",
                $"address add {MiddleAddress4(near)}/32 dev {Middle}", $"address add {MiddleAddress6(near)}/128 dev {Middle}",
                $"link set {Port} up", $"link set {Middle} up",
                $"route add {near.Underlay4} dev {Port}", $"route add {near.Underlay6} dev {Port}",
                $"route add {far.Underlay4} via {MiddleAddress4(far)} dev {Middle} onlink",
                $"route add {MiddleAddress6(far)} dev {Middle}",
                $"route add {far.Underlay6} via {MiddleAddress6(far)} dev {Middle}");
            if (options.Wire) await router.CheckAsync("sh", "-c", $"for port in {Port} {Middle}; do ethtool -K $port tx off tso off gso off gro off; done");
            if (options.FiltersIcmp) await router.CheckAsync("nft", NoIcmp);
        }
        return new RoutedUnderlay(routers);
    }

    /// <summary>Gives a configured node the way to the other one.</summary>
    public static Task ConnectAsync(LabNode node) => node.Host.IpAsync(
        $"route add {PortAddress4(node)} dev {LabNode.UnderlayDevice}",
        $"route add 192.0.2.0/24 via {PortAddress4(node)}",
        $"route add {PortAddress6(node)} dev {LabNode.UnderlayDevice}",
        $"route add 2001:db8:77::/64 via {PortAddress6(node)}");

    /// <summary>Changes what the middle link carries.</summary>
    public async Task SetMiddleMtuAsync(int mtu)
    {
        foreach (NetworkNamespace router in _routers) await router.IpAsync($"link set {Middle} mtu {mtu}");
    }

    private static string PortAddress4(LabNode node) => $"198.51.100.{node.Number}";

    private static string PortAddress6(LabNode node) => $"2001:db8:78::{node.Number}";

    private static string MiddleAddress4(LabNode node) => $"198.51.100.1{node.Number}";

    private static string MiddleAddress6(LabNode node) => $"2001:db8:78::1{node.Number}";
}
