using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Overlay.Rpc;
using Overlay.SystemTests.Daemon;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Routes;

/// <summary>A thousand real UDP flows to a prefix behind four peers, of which one goes.</summary>
public sealed class MultipathTests
{
    private const int Flows = 1000;
    private const int FirstPort = 20_000;
    private const string Destination = "10.244.9.9";
    private static readonly string[] Peers = ["node-b", "node-c", "node-d", "node-e"];

    [Fact]
    public async Task UdpFlows_ThroughFourPeersThenThree_SpreadEvenlyAndOnlyThoseOfTheOneMove()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        await node.Host.IpAsync([.. Peers.Select((_, i) => $"neighbour replace 192.0.2.{i + 2} lladdr 02:00:00:00:00:6{i} dev underlay0 nud permanent")]);
        node.Write(Configuration(Peers));
        RunningProcess daemon = await node.StartAsync();

        string[] before = await PredictAsync(node);
        Assert.Equal(Counts(before), await SendAsync(node));
        // Within five in a hundred of all flows; chance alone makes it 1.4, which is 5.5 in a hundred of a share.
        Assert.All(Counts(before).Values, count => Assert.InRange((double)count / Flows, 0.20, 0.30));

        node.Write(Configuration(Peers[..3]));
        await LoneNode.ReloadAsync(daemon, "reloaded: revision 2");
        string[] after = await PredictAsync(node);
        Assert.Equal(Counts(after), await SendAsync(node));
        for (int flow = 0; flow < Flows; flow++)
        {
            if (before[flow] != Peers[3]) Assert.Equal(before[flow], after[flow]);
        }
        Assert.DoesNotContain(Peers[3], after);

        node.Write(Configuration(Peers));
        await LoneNode.ReloadAsync(daemon, "reloaded: revision 3");
        Assert.Equal(before, await PredictAsync(node));
    }

    /// <summary>By flow: the peer that the daemon says it goes to.</summary>
    private static async Task<string[]> PredictAsync(LoneNode node)
    {
        IReadOnlyList<RouteLookupDocument> answers = await RouteQuery.AskAsync(node.Socket, Enumerable.Range(0, Flows).Select(flow => string.Create(
            CultureInfo.InvariantCulture, $"address={Destination}&from=10.244.1.0&protocol=17&sourcePort={FirstPort + flow}&destinationPort=9")));
        return [.. answers.Select(answer => Assert.Single(answer.Matches).Peer!)];
    }

    /// <summary>Sends a datagram a flow.</summary>
    /// <returns>How many went to each peer, by the daemon's counters.</returns>
    private static async Task<Dictionary<string, long>> SendAsync(LoneNode node)
    {
        Dictionary<string, long> before = await SentAsync(node);
        await node.Host.OpenAsync(() =>
        {
            for (int flow = 0; flow < Flows; flow++)
            {
                using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
                socket.Bind(new IPEndPoint(IPAddress.Parse("10.244.1.0"), FirstPort + flow));
                socket.SendTo([1, 2, 3], new IPEndPoint(IPAddress.Parse(Destination), 9));
            }
            return true;
        });
        using var expired = new CancellationTokenSource(LoneNode.Deadline);
        while (true)
        {
            Dictionary<string, long> now = await SentAsync(node);
            Dictionary<string, long> sent = now.Where(peer => peer.Value > before.GetValueOrDefault(peer.Key))
                .ToDictionary(peer => peer.Key, peer => peer.Value - before.GetValueOrDefault(peer.Key));
            if (sent.Values.Sum() >= Flows || expired.IsCancellationRequested) return sent;
        }
    }

    private static async Task<Dictionary<string, long>> SentAsync(LoneNode node) => (await node.StatusAsync()).GetProperty("peers").EnumerateArray()
        .ToDictionary(peer => peer.GetProperty("name").GetString()!, peer => peer.GetProperty("egress").GetProperty("packets").GetInt64());

    private static Dictionary<string, long> Counts(string[] peers) => peers.GroupBy(peer => peer).ToDictionary(group => group.Key, group => group.LongCount());

    private static string Configuration(string[] peers) => $$"""
        node: node-a
        api: { socket: SOCKET }
        underlay: { interface: underlay0 }
        tunnel: { egress: udp-gso }
        segments:
          - { name: pods, vni: 42, device: overlay0, addresses: [10.244.1.0/32] }
        peers:
        {{string.Join('\n', peers.Select(peer => $"  - {{ name: {peer}, address: 192.0.2.{peer[^1] - 'a' + 1}, mac: \"02:00:00:00:00:0{peer[^1] - 'a' + 1}\" }}"))}}
        routes:
          - { prefix: 10.244.9.0/24, peers: [{{string.Join(", ", peers.Select(peer => $"{{ peer: {peer} }}"))}}] }

        """;
}
