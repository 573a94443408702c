using System.Globalization;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Observation;

/// <summary>What <c>overlay capture</c> shows of each encapsulation and of each family of the underlay, by tshark and tcpdump.</summary>
public sealed class CaptureFormatsTests
{
    private const int UnderlayFrame = 1500 + 14;
    private const int ManyDrops = 60;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(nameof(HostileTunnel.Vxlan), UnderlayFamily.Ipv6, "eth:ethertype:ipv6:udp:vxlan:eth:ethertype:ip:icmp:data", ": VXLAN, flags [I] (0x08), vni 42")]
    [InlineData(nameof(HostileTunnel.Geneve), UnderlayFamily.Ipv4, "eth:ethertype:ip:udp:geneve:eth:ethertype:ip:icmp:data", ": Geneve, Flags [none], vni 0x2a")]
    [InlineData(nameof(HostileTunnel.GeneveIp), UnderlayFamily.Ipv6, "eth:ethertype:ipv6:udp:geneve:ip:icmp:data", ": Geneve, Flags [none], vni 0x2a")]
    [InlineData(nameof(HostileTunnel.IpInIp), UnderlayFamily.Ipv4, "eth:ethertype:ip:ip:icmp:data", "IP 192.0.2.1 > 192.0.2.2: IP 10.244.1.2 > 10.244.2.2: ICMP echo request")]
    [InlineData(nameof(HostileTunnel.IpInIp), UnderlayFamily.Ipv6, "eth:ethertype:ipv6:ipv6.dstopts:ip:icmp:data", ": DSTOPT ")]
    public async Task Capture_InEveryWay_HasTheHeadersOfTheTunnel(string kind, UnderlayFamily family, string protocols, string printed)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        DirectoryInfo folder = NetworkNamespace.CreateDirectory();
        try
        {
            var captures = new Captures(network, folder.FullName, protocols);
            TunnelOptions tunnel = Encapsulation.Of(Enum.Parse<HostileTunnel>(kind));
            // The first knows no peer at first: what comes is dropped, so often that it is an alarm.
            string sections = $"capture: {{ alarms: {captures.Alarms} }}\n";
            captures.Daemon = await network.StartDaemonAsync(network.A, DaemonConfiguration.For(network.A, [], tunnel) with { Sections = sections });
            await network.StartDaemonAsync(network.B, tunnel);

            await captures.DroppedAsync();
            await captures.Daemon.ReloadAsync(DaemonConfiguration.For(network.A, [network.B], tunnel) with { Sections = sections });
            await captures.PingAsync();
            await captures.RingAsync();
            await captures.PipeAsync(printed);
            await captures.StreamAsync();
            await captures.AlarmAsync();
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>Captures at the first node.</summary>
    /// <param name="protocols">Of an outer packet that is sent, as tshark names them.</param>
    private sealed class Captures(LabNetwork network, string folder, string protocols)
    {
        private const string Inner = "eth:ethertype:ip:icmp:data";

        /// <summary>Of what is received a raw socket hides the outer extension headers.</summary>
        private readonly string _received = protocols.Replace("ipv6.dstopts:", "", StringComparison.Ordinal);

        public OverlayDaemon Daemon { get; set; } = null!;

        public string Alarms => Path.Combine(folder, "alarms");

        public async Task DroppedAsync()
        {
            (RunningProcess capture, string file) = await StartAsync("--dropped", "--proto", "icmp", "--count", "3");
            using (capture)
            {
                await Ping.FloodAsync(network.B.Pod, network.A.Pod4, ManyDrops);
                Assert.True(await capture.WaitForExitAsync(Deadline) == 0, capture.Transcript);
            }
            List<string[][]> frames = await FramesAsync(file);
            Assert.Equal(3, frames.Count);
            Assert.All(frames, frame => Assert.Equal(("outer", _received), (frame[0][0], frame[1][0])));
            Assert.All(frames, frame => Assert.Contains("peer=(unknown) verdict=dropped reason=ingress-unknown-peer (", frame[2][0], StringComparison.Ordinal));
        }

        public async Task PingAsync()
        {
            (RunningProcess capture, string file) = await StartAsync("--peer", network.B.Name, "--proto", "icmp", "--host", network.B.Pod4, "--count", "4");
            using (capture)
            {
                PingResult ping = await Ping.RunAsync(network.A.Pod, network.B.Pod4);
                Assert.True(await capture.WaitForExitAsync(Deadline) == 0 && ping.Received == 1, capture.Transcript);
            }
            await AreThoseOfAPingAsync(file);
        }

        public async Task RingAsync()
        {
            string file = Path.Combine(folder, "ring.pcapng");
            CommandResult ring = await ObservedPair.OverlayAsync(Daemon, "capture", "--ring", "--proto", "icmp", "--peer", network.B.Name, "--count", "4", "-w", file);
            Assert.True(ring.ExitCode == 0, ring.Transcript);
            await AreThoseOfAPingAsync(file);
            CommandResult dropped = await ObservedPair.OverlayAsync(Daemon, "capture", "--ring", "--dropped", "--proto", "icmp");
            Assert.Contains("verdict=dropped reason=ingress-unknown-peer (", dropped.Output, StringComparison.Ordinal);
        }

        public async Task PipeAsync(string printed)
        {
            using RunningProcess tcpdump = RunningProcess.Start(
                "sh", ["-c", $"'{Repository.Client}' capture --host {network.B.Pod4} --proto icmp --count 4 -w - --socket '{Daemon.Socket}' | tcpdump -n -l -r -"]);
            await tcpdump.WaitForTextAsync("reading from file", Deadline);
            // tcpdump reads the file's beginning, which the daemon writes as it captures.
            await Ping.RunAsync(network.A.Pod, network.B.Pod4);
            Assert.True(await tcpdump.WaitForExitAsync(Deadline) == 0, tcpdump.Transcript);
            Assert.Contains(printed, tcpdump.Output, StringComparison.Ordinal);
            Assert.Equal(2, tcpdump.Output.Split($"{network.A.Pod4} > {network.B.Pod4}: ICMP echo request").Length - 1);
        }

        /// <summary>Super-packets as they are, and as the packets that they stand for.</summary>
        public async Task StreamAsync()
        {
            (RunningProcess whole, string wholeFile) = await StartAsync("--proto", "tcp", "--port", "5201", "--count", "300");
            using RunningProcess one = whole;
            (RunningProcess segmented, string segmentedFile) = await StartAsync("--proto", "tcp", "--port", "5201", "--count", "300", "--segmented");
            using RunningProcess other = segmented;
            await Iperf.TcpAsync(network.A.Pod, network.B.Pod, network.B.Pod4, 1);
            Assert.Equal((0, 0), (await whole.WaitForExitAsync(Deadline), await segmented.WaitForExitAsync(Deadline)));

            Assert.Contains(await FramesAsync(wholeFile), frame => LengthOf(frame) > UnderlayFrame);
            List<string[][]> frames = await FramesAsync(segmentedFile);
            Assert.All(frames, frame => Assert.InRange(LengthOf(frame), 1, UnderlayFrame));
            Assert.Equal(["inner", "outer"], frames.Select(frame => frame[0][0]).Distinct().Order());
        }

        public async Task AlarmAsync()
        {
            await Eventually.TrueAsync(() => Task.FromResult(Directory.Exists(Alarms) && Directory.GetFiles(Alarms).Length > 0), Deadline, "a file in the folder of alarms");
            await Daemon.WaitForLogAsync("the latest packets, and those dropped, are in");
            List<string[][]> frames = await FramesAsync(Directory.GetFiles(Alarms).Order(StringComparer.Ordinal).First());
            Assert.Contains(frames, frame => frame[1][0] == _received && frame[2][0].Contains("reason=ingress-unknown-peer (", StringComparison.Ordinal));
        }

        private async Task AreThoseOfAPingAsync(string file)
        {
            List<string[][]> frames = await FramesAsync(file);
            Assert.Equal(["inner", "outer", "outer", "inner"], frames.Select(frame => frame[0][0]));
            Assert.Equal([Inner, protocols, _received, Inner], frames.Select(frame => frame[1][0]));
            Assert.Equal(["forwarded", "forwarded", "delivered", "delivered"], frames.Select(frame => frame[2][0].Split("verdict=")[1]));
        }

        /// <summary>Starts a capture into a file, which the daemon begins once it captures.</summary>
        private async Task<(RunningProcess Capture, string File)> StartAsync(params string[] arguments)
        {
            string file = Path.Combine(folder, $"{Path.GetRandomFileName()}.pcapng");
            RunningProcess capture = RunningProcess.Start(Repository.Client, ["capture", .. arguments, "-w", file, "--socket", Daemon.Socket]);
            await Eventually.TrueAsync(() => Task.FromResult(File.Exists(file) && new FileInfo(file).Length > 0), Deadline, "a file is begun");
            return (capture, file);
        }

        /// <summary>Interface, protocols, comment and length of each frame, none of which is malformed or has a wrong checksum.</summary>
        private static async Task<List<string[][]>> FramesAsync(string file)
        {
            List<string[][]> frames = await Tshark.FieldsAsync(
                file, "frame", "frame.interface_name", "frame.protocols", "frame.comment", "frame.len", "_ws.malformed", "ip.checksum.status", "udp.checksum.status",
                "icmp.checksum.status", "tcp.checksum.status");
            Assert.All(frames, frame => Assert.True(frame[4] is [] or [""], string.Join(' ', frame[1])));
            // What was cut short has none that could be looked at.
            Assert.All(frames, frame => Assert.All(frame[5..].SelectMany(statuses => statuses).Where(status => status.Length > 0), status => Assert.NotEqual(0, Tshark.Number(status))));
            return frames;
        }

        private static int LengthOf(string[][] frame) => int.Parse(frame[3][0], CultureInfo.InvariantCulture);
    }
}
