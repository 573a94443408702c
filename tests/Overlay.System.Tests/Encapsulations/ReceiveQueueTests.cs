using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>Datagrams by hand to a daemon of two queues: those of one outer flow come to one queue, and several flows to both.</summary>
public sealed class ReceiveQueueTests
{
    /// <summary>Each from a source port of its own. That one of two queues gets them all has a chance of 1 in 8 million.</summary>
    private const int Flows = 24;

    private const int Datagrams = 40;

    [Theory]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv6)]
    [InlineData((int)HostileTunnel.Geneve, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.Geneve, UnderlayFamily.Ipv6)]
    public async Task Receive_SeveralFlows_EachComesToOneQueueAndBothAreUsed(int kind, UnderlayFamily family)
    {
        TunnelOptions tunnel = Encapsulation.Of((HostileTunnel)kind) with { Queues = 2 };
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, tunnel);
        byte[] vxlan = VxlanInjector.Datagram((uint)tunnel.Vni, network.A.Mac, network.B.Mac);
        byte[] datagram = tunnel.Encapsulation == "vxlan" ? vxlan : [0, 0, 0x65, 0x58, .. vxlan[4..]];

        var used = new HashSet<int>();
        long[] before = Received(await StatusFigures.AtRestAsync(daemon));
        for (int flow = 0; flow < Flows; flow++)
        {
            await VxlanInjector.SendAsync(network.B.Host, network.B.Underlay, network.A, tunnel.Port, datagram, Datagrams);
            long all = before.Sum() + Datagrams;
            long[] after = Received(await StatusFigures.AtRestAsync(daemon, status => Received(status).Sum() >= all));
            used.Add(Assert.Single(Enumerable.Range(0, after.Length), queue => after[queue] - before[queue] == Datagrams));
            before = after;
        }

        Assert.Equal(2, used.Count);
    }

    private static long[] Received(StatusDocument status) => [.. status.Queues.Select(queue => queue.IngressOut.Packets)];
}
