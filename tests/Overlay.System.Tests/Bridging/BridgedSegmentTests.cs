using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Bridging;

/// <summary>Three nodes, each with its pod on a bridge of the host, joined by one bridged segment.</summary>
public sealed class BridgedSegmentTests(BridgedNodes nodes) : IClassFixture<BridgedNodes>
{
    private const string Guest = "02:00:00:00:0c:01";
    private const string GuestAddress = "10.9.0.77";
    private const string Stranger = "02:00:00:00:0d:";
    private const string Broadcast = "ff:ff:ff:ff:ff:ff";

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Frames_BetweenBridges_ReachTheirDestinationOnceAndAreAccountedFor()
    {
        await nodes.ReloadAsync();
        foreach (LabNode from in nodes.Network.Nodes)
        {
            foreach (LabNode to in nodes.Network.Nodes.Where(each => each != from))
            {
                string pinged = await from.Pod.CheckAsync("ping", "-c", "3", "-i", "0.05", "-W", "5", BridgedPods.Address4(to));
                Assert.Contains("3 received", pinged, StringComparison.Ordinal);
                Assert.DoesNotContain("DUP", pinged, StringComparison.Ordinal);
            }
        }

        foreach (OverlayDaemon daemon in nodes.Daemons)
        {
            StatusDocument status = await StatusFigures.AtRestAsync(daemon);
            QueueStatus queue = Queue(status);
            Assert.True(queue.Replicated > 0, "no broadcast was replicated");
            Assert.Equal(queue.EgressIn.Packets + queue.Replicated, queue.EgressOut.Packets + queue.Answered + StatusFigures.DropsOf(queue, "egress-"));
            Assert.Equal(queue.IngressIn.Packets, queue.IngressOut.Packets + StatusFigures.DropsOf(queue, "ingress-"));
            foreach (LabNode node in nodes.Network.Nodes)
            {
                string entry = Assert.Single(await BridgedPods.FdbAsync(daemon, BridgedPods.Mac(node)));
                Assert.Contains(node.Host == daemon.Host ? "(this node)" : node.Name, entry, StringComparison.Ordinal);
            }
        }
    }

    [Theory]
    [InlineData(Broadcast)]
    [InlineData("01:00:5e:00:00:63")]
    [InlineData("02:00:00:00:0f:99")]
    public async Task Flood_BroadcastMulticastAndUnknown_ReachesEveryOtherNodeOnceAndIsNeverSentOn(string destination)
    {
        await nodes.ReloadAsync();
        await nodes.A.Pod.IpAsync("link set eth0 promisc on");
        await nodes.C.Pod.IpAsync("link set eth0 promisc on");
        await using Capture capture = await Capture.StartAsync(nodes.A, nodes.B);

        await BridgedPods.FramesAsync(nodes.B, destination, count: 20, nodes.A, nodes.C);
        await BridgedPods.FramesAsync(nodes.A, destination, count: 20, nodes.C);
        await capture.CloseAsync();

        string[] experimental = await BridgedPods.SelectAsync(capture.File, BridgedNodes.Tunnel, $"eth.type == {BridgedPods.Experimental} && {BridgedPods.FromPods}", "eth.src");
        Assert.Equal([(BridgedPods.Mac(nodes.A), 40)], experimental.GroupBy(source => source).Select(source => (source.Key, source.Count())));
        string[] destinations = await BridgedPods.SelectAsync(capture.File, BridgedNodes.Tunnel, $"eth.type == {BridgedPods.Experimental} && {BridgedPods.FromPods}", "ip.dst");
        Assert.Equal([(nodes.B.Underlay, 20), (nodes.C.Underlay, 20)], destinations.GroupBy(to => to).Select(to => (to.Key, to.Count())).Order());
    }

    [Fact]
    public async Task Move_OfAGuestWhilePinged_IsFollowed()
    {
        await nodes.ReloadAsync();
        await using NetworkNamespace guest = await NetworkNamespace.CreateAsync("guest");
        await guest.ConfigureAsync();
        await AttachAsync(guest, nodes.B, "old0");
        using RunningProcess ping = nodes.A.Pod.Start(["ping", "-n", "-i", "0.05", "-c", "200", "-W", "2", GuestAddress]);
        await ping.WaitForTextAsync("icmp_seq=20 ", Deadline);
        Assert.Contains(nodes.B.Name, Assert.Single(await BridgedPods.FdbAsync(nodes.Daemon, Guest)), StringComparison.Ordinal);
        long moves = Queue(await nodes.Daemon.StatusAsync()).MacMoves;

        await guest.IpAsync("link delete old0");
        await AttachAsync(guest, nodes.C, "new0");
        await guest.CheckAsync("ping", "-c", "1", "-W", "5", BridgedPods.Address4(nodes.A));

        await BridgedPods.WaitForFdbAsync(nodes.Daemon, Guest, lines => lines.Length == 1 && lines[0].Contains(nodes.C.Name, StringComparison.Ordinal));
        await ping.WaitForExitAsync(Deadline);
        Assert.Contains("icmp_seq=200 ", ping.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("DUP", ping.Output, StringComparison.Ordinal);
        Assert.True(Queue(await nodes.Daemon.StatusAsync()).MacMoves > moves, "no move was counted");
    }

    [Fact]
    public async Task Move_OfAFixedAddress_IsRefusedAndCounted()
    {
        await nodes.ReloadAsync($"fdb: [{{ mac: \"{Guest}\", peer: {nodes.B.Name} }}]");
        StatusDocument before = await StatusFigures.AtRestAsync(nodes.Daemon);

        await InjectAsync(nodes.C, Guest, count: 25);
        StatusDocument after = await StatusFigures.AtRestAsync(nodes.Daemon, status => Spoofed(status) >= Spoofed(before) + 25);

        Assert.Equal(25, Spoofed(after) - Spoofed(before));
        Assert.Equal($"pods {Guest} {nodes.B.Name} fixed -", Assert.Single(await BridgedPods.FdbAsync(nodes.Daemon, Guest)));
    }

    [Fact]
    public async Task Learn_BeyondTheLimitAndTheirAge_IsForwardedAndForgotten()
    {
        await nodes.ReloadAsync("learnLimit: 8", "ageingSeconds: 1");
        StatusDocument before = await StatusFigures.AtRestAsync(nodes.Daemon);
        for (int host = 0; host < 50; host++) await InjectAsync(nodes.B, $"{Stranger}{host:x2}", count: 1);
        StatusDocument after = await StatusFigures.AtRestAsync(nodes.Daemon, status => Delivered(status) >= Delivered(before) + 50);

        Assert.True(Queue(after).MacsNotLearned >= Queue(before).MacsNotLearned + 30, $"{Queue(after).MacsNotLearned - Queue(before).MacsNotLearned} not learned");
        Assert.InRange(Assert.Single(after.Segments).Bridging!.LearnedMacs, 0, 8);
        // With nothing said each is forgotten, also before it is swept.
        foreach (int host in Enumerable.Range(0, 50)) await BridgedPods.WaitForFdbAsync(nodes.Daemon, $"{Stranger}{host:x2}", lines => lines.Length == 0);
    }

    [Fact]
    public async Task Ask_ForAConfiguredNeighbour_IsAnsweredHereAndCrossesNothing()
    {
        string mac = BridgedPods.Mac(nodes.B);
        await nodes.ReloadAsync(
            $"neighbours: [{{ address: {BridgedPods.Address4(nodes.B)}, mac: \"{mac}\" }}, {{ address: \"{BridgedPods.Address6(nodes.B)}\", mac: \"{mac}\" }}]",
            "unknownNeighbours: drop");
        await ForgetAsync();

        Assert.Empty(await QuestionsAsync(nodes.B));
        Assert.Empty(await QuestionsAsync(nodes.C, reached: false));
    }

    [Fact]
    public async Task Ask_ForANeighbourThatSpoke_CrossesOnlyTheFirstTime()
    {
        await nodes.ReloadAsync("learnNeighbours: true");
        await ForgetAsync();

        string[] first = await QuestionsAsync(nodes.B);
        await ForgetAsync();
        string[] second = await QuestionsAsync(nodes.B);

        Assert.Equal(["ARP", "ND"], first.Distinct().Order());
        Assert.Empty(second);
        string fdb = await Command.CheckAsync(Command.ShortDeadline, null, Repository.Client, "fdb", "--socket", nodes.Daemon.Socket);
        Assert.Contains(BridgedPods.Address4(nodes.B), fdb[fdb.IndexOf("NEIGHBOURS", StringComparison.Ordinal)..], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Reload_WhileTrafficFlows_KeepsWhatWasLearnedAndLosesNothing()
    {
        await nodes.ReloadAsync();
        await nodes.A.Pod.CheckAsync("ping", "-c", "1", "-W", "5", BridgedPods.Address4(nodes.B));
        await nodes.A.Pod.IpAsync($"neighbour replace {BridgedPods.Address4(nodes.B)} lladdr {BridgedPods.Mac(nodes.B)} dev eth0 nud permanent");
        await nodes.B.Pod.IpAsync($"neighbour replace {BridgedPods.Address4(nodes.A)} lladdr {BridgedPods.Mac(nodes.A)} dev eth0 nud permanent");
        await using Capture capture = await Capture.StartAsync(nodes.A, nodes.C);
        using RunningProcess ping = nodes.A.Pod.Start(["ping", "-n", "-i", "0.01", "-c", "400", "-W", "2", BridgedPods.Address4(nodes.B)]);
        await ping.WaitForTextAsync("icmp_seq=50 ", Deadline);

        await nodes.ReloadAsync("learnLimit: 100");
        await nodes.ReloadAsync("learnLimit: 200", "ageingSeconds: 200");

        await ping.WaitForExitAsync(Deadline);
        await capture.CloseAsync();
        Assert.Contains("400 received", ping.Output, StringComparison.Ordinal);
        string[] destinations = await BridgedPods.SelectAsync(capture.File, BridgedNodes.Tunnel, "icmp.type == 8", "frame.number");
        Assert.Equal(400, destinations.Length);
        Assert.Equal(200, Assert.Single((await nodes.Daemon.StatusAsync()).Segments).Bridging!.LearnLimit);
        await nodes.A.Pod.IpAsync($"neighbour delete {BridgedPods.Address4(nodes.B)} dev eth0");
        await nodes.B.Pod.IpAsync($"neighbour delete {BridgedPods.Address4(nodes.A)} dev eth0");
    }

    [Fact]
    public async Task Mtu_OfTheUnderlayThatShrank_IsToldToTheSenderInTheDestinationsName()
    {
        await nodes.ReloadAsync("mtu: 1450");
        await nodes.A.Pod.CheckAsync("ping", "-c", "1", "-W", "5", BridgedPods.Address4(nodes.B));
        try
        {
            await nodes.A.Host.IpAsync($"link set {LabNode.UnderlayDevice} mtu 1400");
            await StatusFigures.AtRestAsync(nodes.Daemon, status => status.Underlay.Mtu == 1400);

            CommandResult told = await nodes.A.Pod.RunAsync(Deadline, "ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", "-M", "do", "-s", "1422", BridgedPods.Address4(nodes.B));
            await TcpCheck.RunAsync(nodes.A.Pod, nodes.B.Pod, BridgedPods.Address4(nodes.B), streams: 2, bytes: 4 << 20);
            await TcpCheck.RunAsync(nodes.A.Pod, nodes.B.Pod, BridgedPods.Address6(nodes.B), streams: 2, bytes: 4 << 20);

            Assert.True(told.Output.Contains("mtu=1350", StringComparison.Ordinal) || told.Output.Contains("mtu = 1350", StringComparison.Ordinal), told.Transcript);
            StatusDocument status = await nodes.Daemon.StatusAsync();
            Assert.True(StatusFigures.Drops(status, "egress-too-big") > 0 && Queue(status).IcmpErrors > 0, "nothing was told");
        }
        finally
        {
            await nodes.A.Host.IpAsync($"link set {LabNode.UnderlayDevice} mtu 1500");
            await nodes.A.Pod.IpAsync("route flush cache");
            await nodes.A.Pod.CheckAsync("ip", "-6", "route", "flush", "cache");
        }
    }

    [Fact]
    public async Task Mtu_OfAnotherPortThatIsLarger_IsWarnedOf()
    {
        await nodes.A.Host.IpAsync("link add large0 mtu 1500 type veth peer name large1", $"link set large0 master {BridgedPods.Bridge}");
        var waited = System.Diagnostics.Stopwatch.StartNew();
        while (!nodes.Daemon.Log.Contains("has ports with a larger MTU than the 1450 of segment 'pods': large0 (1500)", StringComparison.Ordinal))
        {
            Assert.True(waited.Elapsed < Deadline, nodes.Daemon.Log);
            await Task.Delay(50);
        }
        await nodes.A.Host.IpAsync("link delete large0");
    }

    [Fact]
    public async Task Start_WithoutTheBridge_IsRefusedByName()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        var tunnel = new TunnelOptions { SegmentLines = ["kind: bridged", "bridge: nobridge"] };
        var configuration = new DaemonConfiguration { Node = network.A, Tunnel = tunnel, HasAddresses = false, Peers = { network.B } };
        InvalidOperationException refused =
            await Assert.ThrowsAsync<InvalidOperationException>(() => network.StartDaemonAsync(network.A, configuration));
        Assert.Contains("bridge 'nobridge' of segment 'pods' does not exist", refused.Message, StringComparison.Ordinal);
    }

    /// <summary>Plugs a guest in at a node, with its MAC and its address.</summary>
    private static async Task AttachAsync(NetworkNamespace guest, LabNode node, string device)
    {
        string port = $"guest{device}";
        await node.Host.IpAsync(
            $"link add {port} mtu {node.OverlayMtu} type veth peer name {device} address {Guest} mtu {node.OverlayMtu} netns {guest.Name}",
            $"link set {port} master {BridgedPods.Bridge}", $"link set {port} up");
        await guest.IpAsync($"address add {GuestAddress}/24 dev {device}", $"link set {device} up");
    }

    /// <summary>Sends a frame from a MAC in a node's name.</summary>
    private Task InjectAsync(LabNode from, string mac, int count) =>
        VxlanInjector.SendAsync(from.Host, from.Underlay, nodes.A, BridgedNodes.Tunnel.Port, VxlanInjector.Datagram(42, BridgedPods.Mac(nodes.A), mac), count);

    private Task ForgetAsync() => nodes.A.Pod.IpAsync("neighbour flush dev eth0");

    /// <summary>Pings in both families, and names what of the questions crossed the underlay.</summary>
    private async Task<string[]> QuestionsAsync(LabNode to, bool reached = true)
    {
        await using Capture capture = await Capture.StartAsync(nodes.A, nodes.B);
        foreach (string address in new[] { BridgedPods.Address4(to), BridgedPods.Address6(to) })
        {
            PingResult ping = await Ping.RunAsync(nodes.A.Pod, address);
            Assert.True(ping.Received == (reached ? 1 : 0), ping.Transcript);
        }
        await capture.CloseAsync();
        string[] arp = await BridgedPods.SelectAsync(capture.File, BridgedNodes.Tunnel, "arp.opcode == 1", "frame.number");
        string[] discovery = await BridgedPods.SelectAsync(capture.File, BridgedNodes.Tunnel, "icmpv6.type == 135 && ipv6.dst == ff02::/16", "frame.number");
        return [.. arp.Select(_ => "ARP"), .. discovery.Select(_ => "ND")];
    }

    private static QueueStatus Queue(StatusDocument status) => Assert.Single(status.Queues, each => each.Segment is not null);

    private static long Spoofed(StatusDocument status) => StatusFigures.Drops(status, "ingress-spoofed-mac");

    private static long Delivered(StatusDocument status) => status.Queues.Sum(queue => queue.IngressOut.Packets);
}
