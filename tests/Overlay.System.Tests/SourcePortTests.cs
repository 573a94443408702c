using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests;

public sealed class SourcePortTests
{
    private const int Flows = 256;

    /// <summary>
    /// Balls in bins: <see cref="Flows"/> flows on 256 ports use 162 of them on average, with a standard deviation of 5; the busiest port
    /// has 5 or 6.
    /// </summary>
    private const int LeastPorts = 128;

    private const int MostFlowsOnAPort = 10;
    private const int FirstSourcePort = 20000;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv6)]
    [InlineData((int)HostileTunnel.Geneve, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.Geneve, UnderlayFamily.Ipv6)]
    public async Task Udp_ManyFlows_EachKeepsAPortBeyondARestartAndTheySpread(int kind, UnderlayFamily family)
    {
        TunnelOptions tunnel = Encapsulation.Of((HostileTunnel)kind) with { Egress = "udp-gso" };
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        OverlayDaemon first = await network.StartDaemonAsync(network.A, tunnel);
        await network.StartDaemonAsync(network.B, tunnel);

        Dictionary<string, int> before = await PortsAsync(network, tunnel);
        Assert.Equal(0, await first.StopAsync());
        await network.StartDaemonAsync(network.A, tunnel);
        Dictionary<string, int> after = await PortsAsync(network, tunnel);

        Assert.Equal(Flows, before.Count);
        Assert.Equal(before.OrderBy(flow => flow.Key, StringComparer.Ordinal), after.OrderBy(flow => flow.Key, StringComparer.Ordinal));
        Assert.All(before.Values, port => Assert.InRange(port, 49152, 65535));
        int[] flowsOnPorts = [.. before.Values.CountBy(port => port).Select(port => port.Value)];
        Assert.InRange(flowsOnPorts.Length, LeastPorts, Flows);
        Assert.InRange(flowsOnPorts.Max(), 1, MostFlowsOnAPort);
    }

    /// <returns>The one outer source port of each inner flow, every one of which sends three times.</returns>
    private static async Task<Dictionary<string, int>> PortsAsync(LabNetwork network, TunnelOptions tunnel)
    {
        await using Capture capture = await Capture.StartAsync(network.A, network.B);
        await SendAsync(network);
        IEnumerable<CapturedDatagram> sent = (await capture.StopAsync(tunnel.Port, tunnel.Encapsulation)).Where(datagram => datagram.InnerDestinationMac == network.B.Mac);
        return sent.GroupBy(datagram => datagram.Flow, datagram => datagram.SourcePort)
            .Where(flow => flow.Count() == 3)
            .ToDictionary(flow => flow.Key, flow => Assert.Single(flow.Distinct()));
    }

    private static async Task SendAsync(LabNetwork network)
    {
        using Socket receiver = await network.B.Pod.OpenAsync(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        receiver.Bind(new IPEndPoint(IPAddress.Parse(network.B.Pod4), 7777));
        using var expired = new CancellationTokenSource(Deadline);
        byte[] received = new byte[16];
        for (int round = 0; round < 3; round++)
        {
            for (int flow = 0; flow < Flows; flow++)
            {
                using Socket sender = await network.A.Pod.OpenAsync(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
                sender.Bind(new IPEndPoint(IPAddress.Parse(network.A.Pod4), FirstSourcePort + flow));
                await sender.SendToAsync(new byte[8], receiver.LocalEndPoint!, expired.Token);
                Assert.Equal(8, await receiver.ReceiveAsync(received, expired.Token));
            }
        }
    }
}
