using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>
/// What passes between inner and outer headers of a live daemon, read by tshark: congestion marks by RFC 6040, DSCP and TTL fixed or copied,
/// flow labels (RFC 6438), DF and identification (RFC 6864), and that every checksum is right.
/// </summary>
public sealed class PropagationTests
{
    private const int FirstPort = 10_000;
    private const int Dscp = 0x28;
    private const int FixedDscp = 0x48;
    private const int FixedTtl = 17;
    private const int Flows = 64;

    public static TheoryData<int, UnderlayFamily> Everything
    {
        get
        {
            var data = new TheoryData<int, UnderlayFamily>();
            foreach (HostileTunnel tunnel in Enum.GetValues<HostileTunnel>())
            {
                data.Add((int)tunnel, UnderlayFamily.Ipv4);
                data.Add((int)tunnel, UnderlayFamily.Ipv6);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Everything))]
    public async Task InAndOut_EveryMarkTrafficClassAndTtl_AreAsTheRfcsSay(int kind, UnderlayFamily family)
    {
        var tunnel = (HostileTunnel)kind;
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        TunnelOptions options = Encapsulation.Of(tunnel) with { HopLimit = FixedTtl, TrafficClass = FixedDscp };
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, options);

        await CheckDecapsulationAsync(network, daemon, tunnel);
        await CheckEncapsulationAsync(network, tunnel, copies: false);
        await daemon.StopAsync();
        await network.StartDaemonAsync(network.A, options with { UnderlayLines = ["ttl: copy", "trafficClass: copy"] });
        await CheckEncapsulationAsync(network, tunnel, copies: true);
    }

    /// <summary>RFC 6040, 4.2, figure 4: sixteen pairs with each inner version; the inner DSCP stays (RFC 2983, pipe model).</summary>
    private static async Task CheckDecapsulationAsync(LabNetwork network, OverlayDaemon daemon, HostileTunnel tunnel)
    {
        using DeviceCapture device = await DeviceCapture.StartAsync(network.A, "in", "udp");
        byte[] ethernet = await PacketSocket.AddressesAsync(network.A, network.B);
        var expected = new Dictionary<int, int>();
        int conflicts = 0;
        using (PacketSocket socket = await PacketSocket.OpenAsync(network.B.Host, LabNode.UnderlayDevice))
        {
            for (int i = 0; i < 32; i++)
            {
                int inner = i & 3, outer = (i >> 2) & 3;
                byte[] packet = Inner(network.B, network.A, innerV6: i >= 16, FirstPort + i, Dscp | inner, timeToLive: 9);
                socket.Send(OuterFrame.Wrap(tunnel, ethernet, network.B.Underlay, network.A.Underlay, packet, 0xb8 | outer));
                if (EcnTable.Leaves(inner, outer) is { } leaves) expected.Add(FirstPort + i, Dscp | leaves);
                else conflicts++;
            }
        }

        StatusDocument status = await StatusFigures.AtRestAsync(daemon, reached => StatusFigures.Drops(reached, "ingress-ecn-conflict") == conflicts);
        await device.StopAsync(expected.Count);
        Assert.Equal(2, conflicts);
        Assert.Equal(expected.Count, status.Queues.Sum(queue => queue.IngressOut.Packets));
        Assert.Equal(
            expected.Select(each => $"{each.Key} {each.Value} 9 Good"),
            (await Tshark.FieldsAsync(
                device.File, "udp", "udp.srcport", "ip.dsfield", "ipv6.tclass", "ip.ttl", "ipv6.hlim", "udp.checksum.status", "ip.checksum.status"))
            .Select(row =>
                $"{row[0][0]} {Tshark.Number(row[1].Concat(row[2]).Single())} {row[3].Concat(row[4]).Single()} {Checksums([.. row[5], .. row[6]])}")
            .Order());
    }

    private static async Task CheckEncapsulationAsync(LabNetwork network, HostileTunnel tunnel, bool copies)
    {
        bool outerV6 = network.A.Underlay.Contains(':');
        var sent = new Dictionary<int, (int TrafficClass, int TimeToLive)>();
        await using Capture capture = await Capture.StartAsync(network.A, network.B);
        using (PacketSocket device = await PacketSocket.OpenAsync(network.A.Host, "overlay0"))
        {
            for (int i = 0; i < 2 * Flows; i++)
            {
                int flow = i % Flows;
                bool innerV6 = flow % 2 == 1;
                (int TrafficClass, int TimeToLive) fields = ((flow * 4) | (flow / 2 & 3), 1 + flow);
                sent[FirstPort + flow] = fields;
                byte[] packet = Inner(network.A, network.B, innerV6, FirstPort + flow, fields.TrafficClass, (byte)fields.TimeToLive);
                byte[] type = innerV6 ? [0x86, 0xdd] : [8, 0];
                device.Send([.. PlainBytes.Mac("02:00:00:00:00:09"), .. PlainBytes.Mac(network.A.Mac), .. type, .. packet]);
            }
        }
        await capture.CloseAsync();

        List<string[][]> rows = await Tshark.FieldsAsync(
            capture.File, $"udp.srcport >= {FirstPort} && udp.srcport < {FirstPort + Flows}", "udp.srcport", "ip.dsfield", "ipv6.tclass", "ip.ttl", "ipv6.hlim",
            "ip.flags.df", "ip.flags.mf", "ip.frag_offset", "ipv6.flow", "ip.checksum.status", "udp.checksum.status", "_ws.malformed");
        Assert.Equal(2 * Flows, rows.Count);
        var labels = new Dictionary<int, string>();
        foreach (string[][] row in rows)
        {
            int flow = Tshark.Number(row[0][^1]);
            (int trafficClass, int timeToLive) = sent[flow];
            int[] trafficClasses = Both(row[1], row[2], outerV6, innerV6: flow % 2 == 1);
            int[] timesToLive = Both(row[3], row[4], outerV6, innerV6: flow % 2 == 1);
            Assert.Equal([copies ? trafficClass : FixedDscp | (trafficClass & 3), trafficClass], trafficClasses);
            Assert.Equal([copies ? timeToLive : FixedTtl, timeToLive], timesToLive);
            Assert.Equal("Good", Checksums([.. row[9], .. row[10]]));
            Assert.Empty(row[11]);
            // RFC 6864, 4: with DF, and neither a fragment nor the first of any, the datagram is atomic and its identification free.
            if (!outerV6) Assert.Equal((true, false, 0), (Tshark.IsTrue(row[5][0]), Tshark.IsTrue(row[6][0]), Tshark.Number(row[7][0])));
            else Assert.Equal(labels.TryAdd(flow, row[8][0]) ? row[8][0] : labels[flow], row[8][0]);
        }
        if (!outerV6) return;
        // 64 balls in 256 bins fill 56 of them on average, with a standard deviation of 2.5.
        Assert.InRange(labels.Values.Distinct().Count(), 40, Flows);
        Assert.DoesNotContain(labels.Values, label => Tshark.Number(label) == 0);
    }

    private static byte[] Inner(LabNode from, LabNode to, bool innerV6, int port, int trafficClass, byte timeToLive)
    {
        byte[] udp = PlainBytes.Udp(innerV6 ? from.Pod6 : from.Pod4, innerV6 ? to.Pod6 : to.Pod4, port, 7, [1, 2, 3, 4]);
        return innerV6
            ? PlainBytes.Ipv6(from.Pod6, to.Pod6, 17, udp, trafficClass, hopLimit: timeToLive)
            : PlainBytes.Ipv4(from.Pod4, to.Pod4, 17, udp, trafficClass, timeToLive: timeToLive);
    }

    /// <summary>The value of the outer header, and that of the inner one.</summary>
    private static int[] Both(string[] v4, string[] v6, bool outerV6, bool innerV6) =>
        [Tshark.Number((outerV6 ? v6 : v4)[0]), Tshark.Number((innerV6 ? v6 : v4)[^1])];

    private static string Checksums(string[] statuses) =>
        string.Join(' ', statuses.Select(status => ((ChecksumStatus)Tshark.Number(status)).ToString()).Distinct());
}
