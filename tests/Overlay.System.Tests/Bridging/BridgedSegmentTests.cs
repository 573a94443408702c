using Overlay.Rpc;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Bridging;

/// <summary>Three nodes, each with its pod on a bridge of the host, joined by one bridged segment.</summary>
public sealed class BridgedSegmentTests
{
    [Fact]
    public async Task Frames_BetweenBridges_ReachTheirDestinationOnceAndAreAccountedFor()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Nodes = 3 });
        var tunnel = new TunnelOptions { SegmentLines = ["kind: bridged", "bridge: br0"] };
        var daemons = new List<OverlayDaemon>();
        foreach (LabNode node in network.Nodes)
        {
            await node.Host.IpAsync(
                "address flush dev pod0", "link add br0 type bridge", "link set pod0 master br0", "link set br0 up");
            await node.Pod.IpAsync(
                "address flush dev eth0", $"link set eth0 address {PodMac(node)}", $"address add {PodAddress(node)}/24 dev eth0");
            var configuration = new DaemonConfiguration { Node = node, Tunnel = tunnel, HasAddresses = false };
            configuration.Peers.AddRange(network.Nodes.Where(peer => peer != node));
            daemons.Add(await network.StartDaemonAsync(node, configuration));
        }

        foreach (LabNode from in network.Nodes)
        {
            foreach (LabNode to in network.Nodes.Where(each => each != from))
            {
                string pinged = await from.Pod.CheckAsync("ping", "-c", "3", "-i", "0.05", "-W", "5", PodAddress(to));
                Assert.Contains("3 received", pinged, StringComparison.Ordinal);
                Assert.DoesNotContain("DUP", pinged, StringComparison.Ordinal);
            }
        }

        foreach (OverlayDaemon daemon in daemons)
        {
            StatusDocument status = await daemon.StatusAsync();
            QueueStatus queue = Assert.Single(status.Queues, each => each.Segment is not null);
            Assert.True(queue.Replicated > 0, "no broadcast was replicated");
            long egressDrops = queue.Drops.Where(drop => drop.Key.StartsWith("egress-", StringComparison.Ordinal)).Sum(drop => drop.Value);
            Assert.Equal(queue.EgressIn.Packets + queue.Replicated, queue.EgressOut.Packets + queue.Answered + egressDrops);
            string fdb = await Command.CheckAsync(Command.ShortDeadline, null, Repository.Client, "fdb", "--socket", daemon.Socket);
            foreach (LabNode node in network.Nodes)
            {
                string entry = Assert.Single(fdb.Split('\n'), line => line.Contains(PodMac(node), StringComparison.Ordinal));
                Assert.Contains(node.Host == daemon.Host ? "(this node)" : node.Name, entry, StringComparison.Ordinal);
            }
        }
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

    private static string PodMac(LabNode node) => $"02:00:00:00:0a:{node.Number:x2}";

    private static string PodAddress(LabNode node) => $"10.9.0.{node.Number}";
}
