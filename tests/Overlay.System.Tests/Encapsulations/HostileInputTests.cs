using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;
using Xunit.Abstractions;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>
/// Thousands of outer frames, sound and unsound, on a live daemon's underlay: exactly those that the RFCs allow come out, byte for byte; the
/// others are counted by the right reason, or dropped by the kernel before; the daemon neither grows nor logs
/// a packet.
/// </summary>
public sealed class HostileInputTests(ITestOutputHelper output)
{
    /// <summary>At least, and of IP-in-IP with each inner version.</summary>
    private const int Frames = 5120;
    private const int Batch = 640;

    /// <summary>In the second half, when what runs once has run: one and a half megabytes as a rule, of which the readings of the status have their part.</summary>
    private const long ResidentGrowthLimit = 6 << 20;

    /// <summary>What Linux counts of packets with broken IP headers, shorter than they say, and of UDP with wrong lengths or checksums.</summary>
    private static readonly string[] KernelDrops =
    [
        "IpInHdrErrors", "IpExtInTruncatedPkts", "IpExtInCsumErrors", "UdpInErrors", "Ip6InHdrErrors", "Ip6InTruncatedPkts", "Udp6InErrors",
    ];


    [Theory]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv6)]
    [InlineData((int)HostileTunnel.Geneve, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.Geneve, UnderlayFamily.Ipv6)]
    [InlineData((int)HostileTunnel.GeneveIp, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.GeneveIp, UnderlayFamily.Ipv6)]
    [InlineData((int)HostileTunnel.IpInIp, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.IpInIp, UnderlayFamily.Ipv6)]
    public async Task Receive_ThousandsOfHostileFrames_OnlyWhatTheRfcsAllowComesOut(int kind, UnderlayFamily family)
    {
        var tunnel = (HostileTunnel)kind;
        int seed = int.TryParse(Environment.GetEnvironmentVariable("OVERLAY_SEED"), out int given) ? given : Random.Shared.Next();
        output.WriteLine($"seed {seed}: repeat with OVERLAY_SEED={seed}");
        bool ipv6 = family == UnderlayFamily.Ipv6;
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, Options(tunnel));
        // What comes out ends in the host, without an answer that would disturb the counters.
        await network.A.Host.IpAsync(
            $"route add blackhole {NumberedPacket.Target4}/32", $"route add blackhole {NumberedPacket.Target6}/128");
        using DeviceCapture tap = await DeviceCapture.StartAsync(network.A, "in", "ip or ip6");
        byte[] ethernet = await PacketSocket.AddressesAsync(network.A, network.B);
        using PacketSocket socket = await PacketSocket.OpenAsync(network.B.Host, LabNode.UnderlayDevice);
        string stranger = ipv6 ? "2001:db8:77::77" : "192.0.2.77";
        Func<int, HostileFrame> next = tunnel == HostileTunnel.IpInIp
            ? new HostileIpInIpFrames(
                new Random(seed), ipv6, ethernet, network.B.Underlay, stranger, network.A.Underlay, (network.A.Tunnel4, network.A.Tunnel6)).Next
            : new HostileFrames(new Random(seed), tunnel, ipv6, ethernet, network.B.Underlay, stranger, network.A.Underlay).Next;
        int frames = tunnel == HostileTunnel.IpInIp ? 2 * Frames : Frames;

        var expected = new List<byte[]>();
        var reasons = new Dictionary<string, long>();
        int refused = 0;
        string log = daemon.Log;
        long resident = 0;
        StatusDocument status = await daemon.StatusAsync();
        for (int sent = 0; sent < frames; sent += Batch)
        {
            for (int i = sent; i < sent + Batch; i++)
            {
                HostileFrame frame = next(i);
                foreach (byte[] bytes in frame.Frames) socket.Send(bytes);
                if (frame.Inner is not null) expected.Add(frame.Inner);
                if (frame.IsForTheKernel) refused++;
                if (frame.Reason is not null) reasons[frame.Reason] = reasons.GetValueOrDefault(frame.Reason) + 1;
            }
            status = await StatusFigures.AtRestAsync(daemon, reached => Arrived(reached) >= expected.Count + reasons.Values.Sum());
            if (sent < frames / 2) resident = daemon.ResidentBytes;
        }

        var dropped = status.Queues.SelectMany(queue => queue.Drops)
            .Where(drop => drop.Value > 0 && drop.Key.StartsWith("ingress-", StringComparison.Ordinal))
            .GroupBy(drop => drop.Key).ToDictionary(group => group.Key, group => group.Sum(drop => drop.Value));
        Assert.Equal(reasons.OrderBy(reason => reason.Key), dropped.OrderBy(reason => reason.Key));
        Assert.Equal(expected.Count, status.Queues.Sum(queue => queue.IngressOut.Packets));
        Assert.All(status.Queues, queue => Assert.Equal(
            queue.IngressIn.Packets, queue.IngressOut.Packets + StatusFigures.DropsOf(queue, "ingress-")));
        Assert.Equal(Sorted(expected), Sorted(await tap.StopAsync(expected.Count)));
        DropAlarms.AssertOneAReason(log, daemon.Log);
        Assert.Equal(refused, await RefusedByKernelAsync(network.A));
        Assert.InRange(daemon.ResidentBytes - resident, long.MinValue, ResidentGrowthLimit);
    }

    private static TunnelOptions Options(HostileTunnel tunnel)
    {
        TunnelOptions plain = Encapsulation.Of(tunnel);
        // Each frame must come to one queue whatever is in it.
        if (tunnel == HostileTunnel.IpInIp) return plain with { Queues = 2 };
        return tunnel == HostileTunnel.Vxlan
            ? plain
            : plain with { SegmentLines = [.. plain.SegmentLines, "options: [{ class: 0x0102, type: 0x83, data: \"00000000\" }]"] };
    }

    private static async Task<long> RefusedByKernelAsync(LabNode node) =>
        (await KernelCounters.ReadAsync(node.Host, KernelDrops)).Values.Sum();

    private static long Arrived(StatusDocument status) => status.Queues.Sum(queue => queue.IngressIn.Packets);

    private static IEnumerable<string> Sorted(IEnumerable<byte[]> packets) => packets.Select(Convert.ToHexStringLower).Order(StringComparer.Ordinal);
}
