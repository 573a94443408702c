using System.Net;
using System.Text.Json.Nodes;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Pods;

/// <summary>Pods that are ports of a bridge.</summary>
public sealed class PodBridgeTests(BridgedPodLabFixture fixture) : IClassFixture<BridgedPodLabFixture>
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private PodNode A => fixture.Lab.A;

    private PodNode B => fixture.Lab.B;

    [Fact]
    public async Task Add_PodsAndNodes_TalkWithoutNatAndReachOutsideAsTheNode()
    {
        (TestPod one, CniOutcome first) = await A.AddPodAsync();
        (TestPod other, CniOutcome second) = await A.AddPodAsync();
        (TestPod far, CniOutcome third) = await B.AddPodAsync();

        Assert.EndsWith("/25", (string)first.Json["ips"]![0]!["address"]!);
        Assert.Equal("10.244.1.129", (string)first.Json["ips"]![0]!["gateway"]!);
        for (int family = 0; family < 2; family++)
        {
            IPAddress source = IPAddress.Parse(first.Addresses[family]);
            Assert.Equal([source], await TcpCheck.RunAsync(one.Space, other.Space, second.Addresses[family], 1, 1 << 20));
            Assert.Equal([source], await TcpCheck.RunAsync(one.Space, far.Space, third.Addresses[family], 1, 1 << 20));
            PingResult fromNode = await Ping.RunAsync(A.Node.Host, first.Addresses[family], count: 2);
            Assert.True(fromNode.Received == 2, fromNode.Transcript);
        }
        Assert.Equal([IPAddress.Parse(A.Node.Underlay4)], await TcpCheck.RunAsync(one.Space, B.Node.Host, B.Node.Underlay4, 1, 1000));
    }

    [Fact]
    public async Task Spoof_AddressOfAnotherPod_IsDroppedAndCounted()
    {
        (TestPod one, _) = await A.AddPodAsync();
        (_, CniOutcome second) = await A.AddPodAsync();
        (_, CniOutcome third) = await B.AddPodAsync();

        await one.Space.IpAsync($"address add {second.Addresses[0]}/32 dev eth0", $"address add {second.Addresses[1]}/128 dev eth0 nodad");
        PingResult spoofed4 = await Ping.RunAsync(one.Space, second.Addresses[0], third.Addresses[0], 2);
        PingResult spoofed6 = await Ping.RunAsync(one.Space, second.Addresses[1], third.Addresses[1], 2);
        Assert.True(spoofed4.Received + spoofed6.Received == 0, spoofed4.Transcript + spoofed6.Transcript);
        await one.Space.RunAsync(Command.ShortDeadline, "ping", "-c", "1", "-W", "1", "-I", second.Addresses[0], "10.244.1.250");
        Assert.Matches(@"arp saddr ip \. iifname != @sources4 counter packets [1-9]", await A.Node.Host.CheckAsync("nft", "list", "table", "bridge", "overlay-pods"));
    }

    [Fact]
    public async Task Spoof_NeighboursRoutersAndStations_ChangesNobodysWay()
    {
        (TestPod spoofer, CniOutcome first) = await A.AddPodAsync();
        (_, CniOutcome victim) = await A.AddPodAsync();
        (TestPod listener, CniOutcome third) = await A.AddPodAsync();
        string mac = (string)first.Json["interfaces"]![1]!["mac"]!;
        string right = (string)victim.Json["interfaces"]![1]!["mac"]!;
        PingResult before = await Ping.RunAsync(listener.Space, victim.Addresses[1]);
        Assert.True(before.Received == 1, before.Transcript);

        using (PacketSocket socket = await PacketSocket.OpenAsync(spoofer.Space, "eth0"))
        {
            socket.Send(ForgedDiscovery.Neighbour(mac, victim.Addresses[1]));
            socket.Send(ForgedDiscovery.Router(mac));
            // As if the victim were behind this port.
            socket.Send([.. PlainBytes.Mac(mac), .. PlainBytes.Mac(right), 0x88, 0xb5, .. new byte[46]]);
        }
        // It comes behind them.
        PingResult behind = await Ping.RunAsync(spoofer.Space, third.Addresses[1]);
        Assert.True(behind.Received == 1, behind.Transcript);

        Assert.Contains(right, await listener.Space.CheckAsync("ip", "-6", "neigh", "show", victim.Addresses[1]), StringComparison.Ordinal);
        Assert.DoesNotContain(ForgedDiscovery.Source, await listener.Space.CheckAsync("ip", "-6", "route"), StringComparison.Ordinal);
        Assert.Contains($"{right} master overlay-pods static", await A.Node.Host.CheckAsync("bridge", "fdb", "show", "dev", (string)victim.Json["interfaces"]![0]!["name"]!), StringComparison.Ordinal);
        string table = await A.Node.Host.CheckAsync("nft", "list", "table", "bridge", "overlay-pods");
        Assert.Matches("nd-neighbor-advert .*!= @sources6 counter packets [1-9]", table);
        Assert.Matches("nd-router-advert counter packets [1-9]", table);
        Assert.DoesNotContain("of nftables was changed by somebody", A.Daemon.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Hairpin_PodToItselfByAPortOfTheNode_IsAnswered()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();
        (TestPod neighbour, _) = await A.AddPodAsync();
        await using PortMapping mapping = await PortMapping.AddAsync(A, pod, added);

        foreach (string node in new[] { A.Node.Underlay4, A.Node.Underlay6 })
        {
            foreach (NetworkNamespace from in new[] { pod.Space, neighbour.Space, B.Node.Host }) await mapping.ReachAsync(from, node);
        }
        // Where the bridge hands its frames to the netfilter of IP, what is translated leaves by the port it came from.
        string port = (string)added.Json["interfaces"]![0]!["name"]!;
        Assert.Contains("hairpin on", await A.Node.Host.CheckAsync("ip", "-d", "link", "show", port), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_PortTakenFromTheBridge_SaysSoUntilItIsPutBack()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();
        string port = (string)added.Json["interfaces"]![0]!["name"]!;
        JsonObject checking = PodNode.ConfigurationOf("1.1.0");
        checking["prevResult"] = added.Json.DeepClone();

        CniOutcome found = added;
        // The daemon's own look may come between the two.
        await Eventually.TrueAsync(
            async () =>
            {
                await A.Node.Host.IpAsync($"link set {port} nomaster");
                return (found = await CheckAsync()).Code == 102;
            },
            Deadline, "CHECK that fails");

        Assert.Contains($"{port} of the host is no port of the bridge", found.Message, StringComparison.Ordinal);
        await Eventually.TrueAsync(async () => (await CheckAsync()).Code == 0, Deadline, "the port put back");

        Task<CniOutcome> CheckAsync() => A.CallAsync("CHECK", checking.DeepClone(), pod.ContainerId, pod.Path, "eth0");
    }

    [Fact]
    public async Task Bridge_TakenAwayBySomebody_IsPutBackWithItsPorts()
    {
        (TestPod one, _) = await A.AddPodAsync();
        (_, CniOutcome second) = await A.AddPodAsync();
        (_, CniOutcome far) = await B.AddPodAsync();

        await A.Node.Host.IpAsync("link del overlay-pods");

        foreach (string address in second.Addresses.Concat(far.Addresses))
            await Eventually.TrueAsync(async () => (await Ping.RunAsync(one.Space, address)).Received == 1, Deadline, $"an answer of {address}");
    }

    [Fact]
    public async Task Stop_WithoutPods_LeavesTheHostAsItWas()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        await using var node = new PodNode(network, network.A, new TunnelOptions()) { Lines = ["mode: bridge"] };
        await node.StartAsync();
        (TestPod pod, _) = await node.AddPodAsync();
        await node.DeleteAsync(pod);

        await node.Daemon.StopAsync();

        Assert.DoesNotContain("overlay-pods", await node.Node.Host.CheckAsync("sh", "-c", "ip link; nft list ruleset"), StringComparison.Ordinal);
    }
}
