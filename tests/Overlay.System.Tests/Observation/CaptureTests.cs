using System.Buffers.Binary;
using System.Globalization;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Observation;

/// <summary>What <c>overlay capture</c> writes, read by tshark, capinfos and tcpdump.</summary>
public sealed class CaptureTests(ObservedPair pair) : IClassFixture<ObservedPair>
{
    private const int Port = 4789;
    private const int SignalInterrupt = 2;
    private const int SignalContinue = 18;
    private const int SignalStop = 19;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Capture_OfAPing_HasBothInterfacesDirectionsAndComments()
    {
        string file = pair.File("ping.pcapng");
        using RunningProcess capture = Start(pair.DaemonA, "--peer", pair.B.Name, "--proto", "icmp", "--count", "4", "-w", file);
        await UntilItCapturesAsync(pair.DaemonA);

        PingResult ping = await Ping.RunAsync(pair.A.Pod, pair.B.Pod4);
        int code = await capture.WaitForExitAsync(Deadline);

        Assert.True(code == 0 && ping.Received == 1, capture.Transcript);
        List<string[][]> frames = await Tshark.FieldsAsync(
            file, "frame", "frame.interface_name", "frame.comment", "frame.packet_flags_direction", "ip.src", "udp.dstport", "udp.checksum.status", "icmp.checksum.status", "vxlan.vni");
        Assert.Equal(["inner", "outer", "outer", "inner"], frames.Select(frame => frame[0][0]));
        Assert.Equal([2, 2, 1, 1], frames.Select(frame => Tshark.Number(frame[2][0])));
        Assert.Equal($"segment=pods peer={pair.B.Name} route={pair.B.PodPrefix4} verdict=forwarded", frames[0][1][0]);
        Assert.Equal($"segment=pods peer={pair.B.Name} route={pair.B.PodPrefix4} verdict=forwarded", frames[1][1][0]);
        Assert.Equal($"segment=pods peer={pair.B.Name} verdict=delivered", frames[2][1][0]);
        Assert.Equal([pair.A.Underlay, pair.A.Pod4], frames[1][3]);
        Assert.Equal([pair.B.Underlay, pair.B.Pod4], frames[2][3]);
        foreach (string[][] outer in frames.Where(frame => frame[0][0] == "outer"))
            Assert.Equal((Port, 1, 1, 42), (Tshark.Number(outer[4][0]), Tshark.Number(outer[5][0]), Tshark.Number(outer[6][0]), Tshark.Number(outer[7][0])));
        string infos = await Command.CheckAsync(Deadline, null, "capinfos", "-M", file);
        Assert.Contains("Number of packets:   4", infos, StringComparison.Ordinal);
        Assert.Contains("overlayd", infos, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Capture_ToAPipe_IsReadByTcpdumpAsItComes()
    {
        using RunningProcess capture = RunningProcess.Start(
            "sh", ["-c", $"'{Repository.Client}' capture --host {pair.B.Pod4} --count 4 -w - --socket '{pair.DaemonA.Socket}' | tcpdump -n -l -r -"]);
        await UntilItCapturesAsync(pair.DaemonA);

        await Ping.RunAsync(pair.A.Pod, pair.B.Pod4);

        await capture.WaitForTextAsync($"IP {pair.A.Pod4} > {pair.B.Pod4}: ICMP echo request", Deadline);
        Assert.Equal(0, await capture.WaitForExitAsync(Deadline));
        Assert.Contains("VXLAN, flags [I] (0x08), vni 42", capture.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Capture_OnlyDropped_TellsWhyAndTheRingHasIt()
    {
        await pair.A.Host.IpAsync(
            "neighbour replace 198.51.100.1 lladdr 02:00:00:00:00:63 dev overlay0 nud permanent", "route replace 198.51.100.1/32 dev overlay0");
        using RunningProcess capture = Start(pair.DaemonA, "--dropped", "--host", "198.51.100.0/24", "--count", "3");
        await UntilItCapturesAsync(pair.DaemonA);

        await Ping.RunAsync(pair.A.Pod, pair.B.Pod4, count: 2);
        await Ping.FloodAsync(pair.A.Host, "198.51.100.1", 3);

        Assert.True(await capture.WaitForExitAsync(Deadline) == 0, capture.Transcript);
        string[] lines = capture.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(3, lines.Length);
        Assert.All(lines, line => Assert.Matches("out inner ICMP .* > 198\\.51\\.100\\.1 98 B  segment=pods verdict=dropped reason=egress-no-route \\(no route covers the destination\\)$", line));
        CommandResult ring = await ObservedPair.OverlayAsync(pair.DaemonA, "capture", "--ring", "--dropped", "--host", "198.51.100.1");
        Assert.True(ring.ExitCode == 0, ring.Transcript);
        Assert.Contains("reason=egress-no-route", ring.Output, StringComparison.Ordinal);
        CommandResult recent = await ObservedPair.OverlayAsync(pair.DaemonA, "capture", "--ring", "--host", pair.B.Pod4);
        Assert.Contains("verdict=delivered", recent.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Drops_OfSeveralReasons_AreInStatusMetricsAndTheRing()
    {
        await pair.B.Host.IpAsync($"address replace 192.0.2.77/24 dev {LabNode.UnderlayDevice}");
        byte[] good = VxlanInjector.Datagram(42, pair.A.Mac, pair.B.Mac);
        (string Reason, string Source, byte[] Datagram)[] cases =
        [
            ("ingress-unknown-peer", "192.0.2.77", good),
            ("ingress-unknown-segment", pair.B.Underlay, VxlanInjector.Datagram(98, pair.A.Mac, pair.B.Mac)),
            ("ingress-malformed", pair.B.Underlay, good[..7]),
            ("ingress-inner-malformed", pair.B.Underlay, good[..^1]),
            ("ingress-inner-vlan", pair.B.Underlay, VxlanInjector.Datagram(42, pair.A.Mac, pair.B.Mac, tagged: true)),
            ("ingress-inner-mac", pair.B.Underlay, VxlanInjector.Datagram(42, "02:00:00:00:00:63", pair.B.Mac)),
        ];
        foreach ((_, string source, byte[] datagram) in cases) await VxlanInjector.SendAsync(pair.B.Host, source, pair.A, Port, datagram, 2);
        Rpc.StatusDocument status = await StatusFigures.AtRestAsync(pair.DaemonA, now => cases.All(each => StatusFigures.Drops(now, each.Reason) >= 2));

        string metrics = (await pair.GetAsync("/metrics")).Text;
        CommandResult ring = await ObservedPair.OverlayAsync(pair.DaemonA, "capture", "--ring", "--dropped");

        foreach ((string reason, _, _) in cases)
        {
            long counted = metrics.Split('\n').Where(line => line.StartsWith("overlay_dropped_packets_total{", StringComparison.Ordinal) && line.Contains($"\"{reason}\"", StringComparison.Ordinal))
                .Sum(line => long.Parse(line.Split(' ')[^1], CultureInfo.InvariantCulture));
            Assert.Equal(StatusFigures.Drops(status, reason), counted);
            Assert.Contains($"verdict=dropped reason={reason} (", ring.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Capture_OfWhatTheDaemonSends_SaysWhatItIs()
    {
        const string unroutable = "198.51.100.2";
        string unanswered = $"{pair.B.PodPrefix4[..pair.B.PodPrefix4.LastIndexOf('.')]}.77";
        using RunningProcess capture = Start(pair.DaemonA);
        await UntilItCapturesAsync(pair.DaemonA);

        await pair.A.Host.IpAsync($"neighbour replace {unroutable} lladdr 02:00:00:00:00:63 dev overlay0 nud permanent", $"route replace {unroutable}/32 dev overlay0", $"route replace {unanswered}/32 dev overlay0");
        await Ping.RunAsync(pair.A.Pod, pair.B.Pod4);
        await Ping.FloodAsync(pair.A.Host, unroutable, 1);
        await Ping.FloodAsync(pair.A.Host, unanswered, 1);
        await pair.A.Host.IpAsync($"route delete {unroutable}/32 dev overlay0", $"route delete {unanswered}/32 dev overlay0");

        await capture.WaitForTextAsync("segment=pods verdict=own (ICMP error)", Deadline);
        await capture.WaitForTextAsync("segment=pods verdict=own (ARP reply)", Deadline);
        await capture.WaitForTextAsync($"segment=pods peer={pair.B.Name} verdict=path-message", Deadline);
        capture.Signal(SignalInterrupt);
        Assert.Equal(0, await capture.WaitForExitAsync(Deadline));
        string[] lines = capture.Output.Split('\n');
        Assert.Contains(lines, line => line.Contains($"in  inner ICMP {unroutable} > ", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.Contains($"in  inner ARP {unanswered} > ", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.Contains("out outer UDP ", StringComparison.Ordinal) && line.EndsWith("verdict=path-message", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.Contains("in  outer UDP ", StringComparison.Ordinal) && line.EndsWith("verdict=path-message", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Capture_OfATcpStream_ShowsSuperPacketsOrTheirPackets(bool segmented)
    {
        string file = pair.File($"stream-{segmented}.pcapng");
        using RunningProcess capture = Start(
            pair.DaemonA, [.. new[] { "--port", "5201", "--count", "2000", "--at", "inner", "-w", file }, .. segmented ? new[] { "--segmented" } : []]);
        await UntilItCapturesAsync(pair.DaemonA);

        await Iperf.TcpAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, 1);

        Assert.True(await capture.WaitForExitAsync(Deadline) == 0, capture.Transcript);
        List<string[][]> frames = await Tshark.FieldsAsync(file, "frame", "frame.len", "ip.checksum.status", "tcp.checksum.status", "frame.packet_flags_direction");
        Assert.Equal(2000, frames.Count);
        Assert.All(frames, frame => Assert.Equal((1, 1), (Tshark.Number(frame[1][0]), Tshark.Number(frame[2][0]))));
        int longest = frames.Max(frame => int.Parse(frame[0][0], CultureInfo.InvariantCulture));
        if (segmented) Assert.Equal(1450 + 14, longest);
        else Assert.True(longest > 10_000, $"the longest has {longest} bytes");
    }

    [Fact]
    public async Task Capture_ReaderThatStops_LosesPacketsAndSaysSo()
    {
        string file = pair.File("slow.pcapng");
        using RunningProcess capture = Start(pair.DaemonA, "--peer", pair.B.Name, "-w", file);
        await UntilItCapturesAsync(pair.DaemonA);
        capture.Signal(SignalStop);

        double rate = await Iperf.TcpAsync(pair.A.Pod, pair.B.Pod, pair.B.Pod4, 2);
        capture.Signal(SignalContinue);
        capture.Signal(SignalInterrupt);
        int code = await capture.WaitForExitAsync(Deadline);

        Assert.True(code == 0 && rate > 0, capture.Transcript);
        (long written, long lost) = Statistics(file);
        Assert.True(lost > 0, $"{written} written, {lost} lost: {capture.Transcript}");
        string infos = await Command.CheckAsync(Deadline, null, "capinfos", "-c", "-M", file);
        Assert.Contains($"Number of packets:   {written}", infos, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Alarm_ManyDrops_LeavesTheRingInAFile()
    {
        byte[] datagram = VxlanInjector.Datagram(99, pair.A.Mac, pair.B.Mac);
        await VxlanInjector.SendAsync(pair.B.Host, pair.B.Underlay, pair.A, Port, datagram, 200);

        await Eventually.TrueAsync(() => Task.FromResult(Directory.Exists(pair.Alarms) && Directory.GetFiles(pair.Alarms, "alarm-*.pcapng").Length > 0), Deadline, "a file in the folder of alarms");
        await pair.DaemonA.WaitForLogAsync("packets were dropped in the last minute as ingress-unknown-segment");
        await pair.DaemonA.WaitForLogAsync("the latest packets, and those dropped, are in");
        CommandResult health = await ObservedPair.OverlayAsync(pair.DaemonA, "health");
        Assert.Contains("degraded (drops): ", health.Output, StringComparison.Ordinal);
        string file = Directory.GetFiles(pair.Alarms, "alarm-*.pcapng").Order().Last();
        List<string[][]> frames = await Tshark.FieldsAsync(file, "frame", "frame.comment", "vxlan.vni");
        Assert.Contains(frames, frame => frame[0][0].Contains("reason=ingress-unknown-segment", StringComparison.Ordinal) && frame[1] is ["99"]);
    }

    [Theory]
    [InlineData("there is no peer 'nobody'", "--peer", "nobody")]
    [InlineData("there is no segment 'nowhere'", "--segment", "nowhere")]
    [InlineData("'10.1' is no address or prefix", "--host", "10.1/99")]
    [InlineData("--proto 'tpc' is not known", "--proto", "tpc")]
    [InlineData("'3' is no number from 64 to 262144 for --snaplen", "--snaplen", "3")]
    public async Task Capture_FilterThatCannotBe_IsRefused(string problem, params string[] arguments)
    {
        CommandResult result = await ObservedPair.OverlayAsync(pair.DaemonB, ["capture", .. arguments]);

        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        Assert.Contains(problem.Replace("10.1'", "10.1/99'", StringComparison.Ordinal), result.Errors, StringComparison.Ordinal);
    }

    private static RunningProcess Start(OverlayDaemon daemon, params string[] arguments) =>
        RunningProcess.Start(Repository.Client, ["capture", .. arguments, "--socket", daemon.Socket]);

    /// <summary>The metric tells that a capture runs.</summary>
    private async Task UntilItCapturesAsync(OverlayDaemon daemon)
    {
        Assert.Same(pair.DaemonA, daemon);
        await Eventually.TrueAsync(async () => (await pair.GetAsync("/metrics")).Text.Contains("\noverlay_captures 1\n", StringComparison.Ordinal), Deadline, "a capture runs");
    }

    /// <summary>Sums over the interface statistics blocks of a file (pcapng, 4.6): packets delivered, and dropped.</summary>
    private static (long Written, long Lost) Statistics(string file)
    {
        const int statistics = 5, drops = 5, delivered = 8;
        ReadOnlySpan<byte> bytes = File.ReadAllBytes(file);
        (long written, long lost) = (0, 0);
        while (bytes.Length > 0)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(bytes[4..]);
            if (BinaryPrimitives.ReadInt32LittleEndian(bytes) == statistics)
            {
                for (ReadOnlySpan<byte> options = bytes[20..(length - 4)]; options.Length >= 4 && options[0] != 0; options = options[(4 + ((options[2] + 3) & ~3))..])
                {
                    if (options[0] == drops) lost += BinaryPrimitives.ReadInt64LittleEndian(options[4..]);
                    else if (options[0] == delivered) written += BinaryPrimitives.ReadInt64LittleEndian(options[4..]);
                }
            }
            bytes = bytes[length..];
        }
        return (written, lost);
    }
}
