using System.Globalization;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;
using Xunit.Abstractions;

namespace Overlay.SystemTests.Bridging;

/// <summary>
/// Thousands of inner Ethernet frames, sound and hostile, on a live daemon's underlay: exactly those that a bridge relays come out, byte for
/// byte; the others are counted by the right reason; tables hold their limits; the daemon neither grows nor logs.
/// </summary>
public sealed class BridgedHostileInputTests(ITestOutputHelper output)
{
    private const int Frames = 5120;
    private const int Batch = 320;
    private const int Limit = 64;
    private const long ResidentGrowthLimit = 24 << 20;

    [Theory]
    [InlineData("vxlan", UnderlayFamily.Ipv4)]
    [InlineData("geneve", UnderlayFamily.Ipv6)]
    public async Task Receive_ThousandsOfHostileInnerFrames_OnlyWhatABridgeRelaysComesOut(string encapsulation, UnderlayFamily family)
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("OVERLAY_SEED"), CultureInfo.InvariantCulture, out int given) ? given : Random.Shared.Next();
        output.WriteLine($"seed {seed}: repeat with OVERLAY_SEED={seed}");
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family, UnderlayMtu = 9000 });
        OverlayDaemon daemon = await StartAsync(network, encapsulation);
        using DeviceCapture device = await DeviceCapture.StartAsync(network.A, "in", "");
        using PacketSocket socket = await PacketSocket.OpenAsync(network.B.Host, LabNode.UnderlayDevice);
        byte[] ethernet = await PacketSocket.AddressesAsync(network.A, network.B);
        var frames = new HostileBridgeFrames(
            new Random(seed), encapsulation == "geneve", family == UnderlayFamily.Ipv6, ethernet, network.B.Underlay, network.A.Underlay);

        var expected = new List<byte[]>();
        var reasons = new SortedDictionary<string, long>();
        string log = daemon.Log;
        long resident = 0;
        StatusDocument status = await daemon.StatusAsync();
        for (int sent = 0; sent < Frames; sent += Batch)
        {
            for (int i = sent; i < sent + Batch; i++)
            {
                HostileFrame frame = frames.Next(i);
                foreach (byte[] bytes in frame.Frames) socket.Send(bytes);
                if (frame.Inner is not null) expected.Add(frame.Inner);
                if (frame.Reason is not null) reasons[frame.Reason] = reasons.GetValueOrDefault(frame.Reason) + 1;
            }
            status = await StatusFigures.AtRestAsync(daemon, reached => reached.Queues.Sum(queue => queue.IngressIn.Packets) >= expected.Count + reasons.Values.Sum());
            BridgingStatus bridging = Assert.Single(status.Segments).Bridging!;
            Assert.InRange(bridging.LearnedMacs, 1, Limit);
            Assert.InRange(bridging.LearnedNeighbours!.Value, 1, Limit);
            if (resident == 0) resident = daemon.ResidentBytes;
        }

        QueueStatus pods = Assert.Single(status.Queues, queue => queue.Segment is not null);
        Assert.Equal(reasons, pods.Drops.Where(drop => drop.Value > 0 && drop.Key.StartsWith("ingress-", StringComparison.Ordinal)).OrderBy(drop => drop.Key));
        Assert.Equal(expected.Count, pods.IngressOut.Packets);
        Assert.Equal(pods.IngressIn.Packets, pods.IngressOut.Packets + StatusFigures.DropsOf(pods, "ingress-"));
        Assert.True(pods.MacsNotLearned > Limit && pods.NeighboursNotLearned > Limit, $"{pods.MacsNotLearned} MACs, {pods.NeighboursNotLearned} neighbours not learned");
        Assert.Equal(Sorted(expected), Sorted(await device.StopWithEthernetAsync(expected.Count)));
        DropAlarms.AssertOneAReason(log, daemon.Log);
        Assert.InRange(daemon.ResidentBytes - resident, long.MinValue, ResidentGrowthLimit);
    }

    private static Task<OverlayDaemon> StartAsync(LabNetwork network, string encapsulation)
    {
        var tunnel = new TunnelOptions
        {
            Encapsulation = encapsulation,
            Port = encapsulation == "geneve" ? 6081 : 4789,
            SegmentLines =
            [
                "kind: bridged", "mtu: 1450", $"learnLimit: {Limit}", "learnNeighbours: true", $"fdb: [{{ mac: \"{HostileBridgeFrames.Fixed}\", local: true }}]",
            ],
        };
        return network.StartDaemonAsync(network.A, new DaemonConfiguration { Node = network.A, Tunnel = tunnel, HasAddresses = false, Peers = { network.B } });
    }

    private static IEnumerable<string> Sorted(IEnumerable<byte[]> frames) => frames.Select(Convert.ToHexStringLower).Order(StringComparer.Ordinal);
}
