using System.Text.Json;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Observability;

/// <summary><c>overlay explain</c>, held against what daemons then do.</summary>
public sealed class ExplainTests
{
    private const int EthernetHeader = 14;
    private const int Dropped = 2;

    [Theory]
    [InlineData("vxlan", UnderlayFamily.Ipv4, "10.244.2.2")]
    [InlineData("vxlan", UnderlayFamily.Ipv6, "fd00:244:2::2")]
    [InlineData("geneve", UnderlayFamily.Ipv6, "10.244.2.2")]
    [InlineData("ipip", UnderlayFamily.Ipv4, "fd00:244:2::2")]
    [InlineData("ipip", UnderlayFamily.Ipv6, "10.244.2.2")]
    public async Task Explain_CapturedFrame_TellsTheBytesOnTheWireAndAtThePeersDevice(string encapsulation, UnderlayFamily family, string to)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family, TunnelPrefix = encapsulation == "ipip" ? -8 : 22 });
        var tunnel = new TunnelOptions
        {
            Encapsulation = encapsulation,
            Port = encapsulation == "geneve" ? 6081 : 4789,
            UnderlayLines = ["ttl: copy", "trafficClass: copy"],
            PathMtuLines = ["pathMtu: { probe: false }"],
        };
        OverlayDaemon a = await network.StartDaemonAsync(network.A, tunnel);
        OverlayDaemon b = await network.StartDaemonAsync(network.B, tunnel);
        string icmp = to.Contains(':', StringComparison.Ordinal) ? "icmp6 and ip6[40] == 128" : "icmp[icmptype] == icmp-echo";
        using DeviceCapture device = await DeviceCapture.StartAsync(network.A, "out", icmp);
        using DeviceCapture there = await DeviceCapture.StartAsync(network.B, "in", icmp);
        using DeviceCapture wire = await DeviceCapture.StartAsync(
            network.A, "out", encapsulation == "ipip" ? "ip proto 41 or ip6 proto 60" : $"udp port {tunnel.Port}", LabNode.UnderlayDevice);

        Assert.Equal(1, (await Ping.RunAsync(network.A.Pod, to, size: 400)).Received);
        byte[] outer = (await wire.StopAsync(1))[0];
        byte[] arrived = (await there.StopWithEthernetAsync(1))[0];
        await device.StopAsync(1);

        ExplanationDocument explained = await ExplainAsync(0, a, "--read", $"{device.File}:1", "--at", $"node-b={b.Socket}");
        OuterPacketDocument packet = Assert.Single(explained.Outer);
        Assert.Equal(Convert.ToHexStringLower(outer), packet.Bytes);
        ArrivalDocument arrival = Assert.Single(explained.Arrivals);
        Assert.Equal(("node-b", "asked", "delivered"), (arrival.Node, arrival.Basis, arrival.Outcome));
        string delivered = Assert.Single(arrival.Frames).Bytes;
        Assert.Equal(Convert.ToHexStringLower(arrived)[(2 * EthernetHeader)..], delivered[(2 * EthernetHeader)..]);
        Assert.Equal("parse route ecmp mtu offload egress", string.Join(' ', explained.Stages.Where(stage => stage.Name is not ("anti-spoofing" or "tunnel entry")).Select(stage => stage.Name)));
    }

    [Fact]
    public async Task Explain_CapturedTcp_KnowsUnfinishedChecksumsAndSuperPackets()
    {
        const int headers = 20 + 32, most = 1450 - headers;
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        OverlayDaemon a = await network.StartDaemonAsync(network.A, new TunnelOptions { Egress = "udp-gso", PathMtuLines = ["pathMtu: { probe: false }"] });
        await network.StartDaemonAsync(network.B, new TunnelOptions { Egress = "udp-gso", PathMtuLines = ["pathMtu: { probe: false }"] });
        using DeviceCapture device = await DeviceCapture.StartAsync(network.A, "out", "tcp port 5201 and greater 10000");
        string file = $"{device.File}.ours";
        using RunningProcess capture = RunningProcess.Start(Repository.Client, ["capture", "--port", "5201", "--count", "600", "-w", file, "--socket", a.Socket]);
        await Eventually.TrueAsync(() => Task.FromResult(File.Exists(file) && new FileInfo(file).Length > 0), Command.ShortDeadline, "a file is begun");

        await Iperf.TcpAsync(network.A.Pod, network.B.Pod, network.B.Pod4, 1);
        byte[] super = (await device.StopAsync(1))[0];
        Assert.True(await capture.WaitForExitAsync(Command.ShortDeadline) == 0, capture.Transcript);

        // By tcpdump, which does not tell how it is to be cut: as the device's MTU has it.
        int segments = (super.Length - headers + most - 1) / most;
        ExplanationDocument read = await ExplainAsync(0, a, "--read", device.File);
        Assert.Equal((segments, "changed"), (read.Outer.Count, Stage(read, "checksum").Outcome));
        Assert.Contains($"super-packet of {segments} segments", Assert.Single(Stage(read, "parse").Details), StringComparison.Ordinal);
        ExplanationDocument smaller = await ExplainAsync(0, a, "--read", $"{device.File}:1", "--gso", "1000");
        Assert.Equal((super.Length - headers + 999) / 1000, smaller.Outer.Count);

        // By overlay capture, which does.
        List<string[][]> frames = await Tshark.FieldsAsync(file, "frame", "frame.number", "frame.interface_name", "frame.packet_flags_direction", "tcp.len", "frame.comment");
        string[][] ours = frames.First(frame => frame[1][0] == "inner" && Tshark.Number(frame[2][0]) == 2 && frame[4][0].Contains($"/{most}", StringComparison.Ordinal));
        ExplanationDocument told = await ExplainAsync(0, a, "--read", $"{file}:{ours[0][0]}");
        Assert.Equal((Tshark.Number(ours[3][0]) + most - 1) / most, told.Outer.Count);
        string[][] outer = frames.First(frame => frame[1][0] == "outer");
        CommandResult refused = await RunAsync(a, "--read", $"{file}:{outer[0][0]}");
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains($"frame {outer[0][0]} is an outer packet", refused.Errors, StringComparison.Ordinal);
    }

    /// <summary>Without multicast, of which the host sends some by itself.</summary>
    private static IEnumerable<KeyValuePair<string, long>> DropsOfExplained(QueueStatus queue) => queue.Drops.Where(drop => drop.Key != "egress-multicast").OrderBy(drop => drop.Key);

    [Fact]
    public async Task Explain_PacketsOfEveryFate_EndWithItAndCountNothing()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        OverlayDaemon a = await network.StartDaemonAsync(network.A, new TunnelOptions { PathMtuLines = ["pathMtu: { probe: false }"] });
        OverlayDaemon b = await network.StartDaemonAsync(network.B, new TunnelOptions { Vni = 43, PathMtuLines = ["pathMtu: { probe: false }"] });
        StatusDocument before = await a.StatusAsync();

        CommandResult text = await RunAsync(a, "--from", "10.244.1.2", "--to", "10.244.2.2", "--proto", "tcp", "--dport", "443", "--len", "1400", "--df", "--ecn", "ce");
        Assert.True(text.ExitCode == 0, text.Transcript);
        Assert.StartsWith("TCP 10.244.1.2:40000 > 10.244.2.2:443, 1400 bytes, TTL 64, ECN ce, DF\n", text.Output, StringComparison.Ordinal);
        foreach (string line in new[]
            {
                "  route         ok       10.244.2.0/24 to node-b, configured line ", "  mtu           ok       1400 bytes; 1450 pass to node-b in one piece",
                "  checksum      changed  TCP checksum, left to us by the device, finished: 0x", "    VXLAN VNI 42, flags 0x08", "        IP 10.244.1.2 > 10.244.2.2",
                "at node-b, as far as this node knows (ask it with --at)", "  ecn           ok       outer ce: delivered with ce", "\ndelivered\n",
            }) Assert.Contains(line, text.Output, StringComparison.Ordinal);

        // The peer's own daemon knows better than what is assumed of it: it has another VNI.
        ExplanationDocument asked = await ExplainAsync(Dropped, a, "--to", "10.244.2.2", "--at", $"node-b={b.Socket}");
        Assert.Equal(("asked", "dropped", "ingress-unknown-segment"), (asked.Arrivals[0].Basis, asked.Arrivals[0].Outcome, asked.Arrivals[0].DropReason));
        CommandResult wrong = await RunAsync(a, "--to", "10.244.2.2", "--at", $"node-b={a.Socket}");
        Assert.Equal((1, $"overlay: {a.Socket} is the socket of 'node-a', not of 'node-b'; give --at node-a={a.Socket}, or another socket\n"), (wrong.ExitCode, wrong.Errors));

        ExplanationDocument big = await ExplainAsync(Dropped, a, "--to", "10.244.2.2", "--len", "1451", "--df");
        Assert.Equal("egress-too-big", big.DropReason);
        Assert.Contains("fragmentation needed, MTU 1450", Assert.Single(big.Answers).Text, StringComparison.Ordinal);
        ExplanationDocument cut = await ExplainAsync(0, a, "--to", "10.244.2.2", "--proto", "udp", "--len", "3000");
        Assert.Equal((3, "changed"), (cut.Outer.Count, Stage(cut, "mtu").Outcome));
        ExplanationDocument super = await ExplainAsync(0, a, "--to", "10.244.2.2", "--proto", "tcp", "--len", "14000", "--gso", "1398");
        Assert.Equal(10, super.Outer.Count);
        ExplanationDocument syn = await ExplainAsync(0, a, "--to", "fd00:244:2::2", "--proto", "tcp", "--mss", "1440");
        Assert.Equal("MSS 1440 lowered to 1390", Assert.Single(Stage(syn, "mtu").Details));
        Assert.Equal("egress-no-route", (await ExplainAsync(Dropped, a, "--to", "10.99.0.1")).DropReason);
        Assert.Equal("egress-multicast", (await ExplainAsync(Dropped, a, "--to", "224.0.0.5")).DropReason);

        CommandResult elsewhere = await RunAsync(a, "--to", "10.244.2.2", "--at", "node-c");
        Assert.Equal((0, "overlay: the packet does not go to 'node-c' but to node-b; its daemon is not asked\n"), (elsewhere.ExitCode, elsewhere.Errors));
        CommandResult away = await RunAsync(a, "--to", "10.244.2.2", "--at", "node-b");
        string its = Path.Combine(Path.GetDirectoryName(a.Socket)!, "node-b.sock");
        Assert.Equal((1, ""), (away.ExitCode, away.Output));
        Assert.Equal(
            $"overlay: 'node-b' is another host, and its daemon is asked through a socket of this one, which is not there: {its}; bring it here (ssh -nNT -L {its}:/run/overlay/overlayd.sock root@node-b), or give --at node-b=SOCKET\n",
            away.Errors);

        CommandResult refused = await RunAsync(a, "--to", "10.244.2.2", "--segment", "lab");
        Assert.Equal((1, "overlay: there is no segment 'lab'; 'overlay status' lists them\n"), (refused.ExitCode, refused.Errors));
        StatusDocument after = await a.StatusAsync();
        Assert.Equal(before.Queues.Select(queue => queue.EgressOut), after.Queues.Select(queue => queue.EgressOut));
        Assert.Equal(before.Queues.SelectMany(DropsOfExplained), after.Queues.SelectMany(DropsOfExplained));
        Assert.Equal(before.Peers.Select(peer => peer.Egress), after.Peers.Select(peer => peer.Egress));
    }

    private static ExplanationStage Stage(ExplanationDocument explained, string name) => explained.Stages.Single(stage => stage.Name == name);

    private static async Task<ExplanationDocument> ExplainAsync(int exitCode, OverlayDaemon daemon, params string[] arguments)
    {
        CommandResult result = await RunAsync(daemon, [.. arguments, "--json"]);
        Assert.True(result.ExitCode == exitCode, result.Transcript);
        return JsonSerializer.Deserialize(result.Output, StatusJson.Default.ExplanationDocument)!;
    }

    private static Task<CommandResult> RunAsync(OverlayDaemon daemon, params string[] arguments) =>
        Command.RunAsync(Command.ShortDeadline, null, Repository.Client, ["explain", .. arguments, "--socket", daemon.Socket]);
}
