using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Bridging;

/// <summary>Pods of several nodes in one network of layer 2, each on a bridge of its host that a tunnel is a port of.</summary>
internal static class BridgedPods
{
    public const string Bridge = "br0";

    /// <summary>An EtherType for experiments (IEEE 802, 9.2.3.5).</summary>
    public const int Experimental = 0x88b5;

    /// <summary>What the pods sent, by a filter of tshark: nothing that daemons say to each other.</summary>
    public const string FromPods = "eth.src[0:5] == 02:00:00:00:0a";

    private const long TcpBytes = 4 << 20;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    public static string Mac(LabNode node) => $"02:00:00:00:0a:{node.Number:x2}";

    public static string Address4(LabNode node) => $"10.9.0.{node.Number}";

    public static string Address6(LabNode node) => $"fd00:9::{node.Number}";

    /// <summary>Gives the pod its addresses in the network.</summary>
    public static async Task AddressAsync(LabNode node)
    {
        await node.Host.IpAsync("address flush dev pod0");
        await node.Pod.IpAsync(
            "address flush dev eth0", $"link set eth0 address {Mac(node)}", $"address add {Address4(node)}/24 dev eth0", $"address add {Address6(node)}/64 dev eth0");
    }

    /// <summary>Puts the pod on a bridge of its host.</summary>
    public static async Task ConnectAsync(LabNode node)
    {
        await AddressAsync(node);
        await node.Host.IpAsync($"link add {Bridge} type bridge mcast_snooping 0", $"link set pod0 master {Bridge}", $"link set {Bridge} up");
    }

    /// <summary>What overlayd is to do on a node: a bridged segment whose device is a port of the bridge.</summary>
    /// <param name="network">Whose other nodes are the peers.</param>
    /// <param name="node">Where it runs.</param>
    /// <param name="tunnel">What the nodes agreed on.</param>
    /// <param name="lines">Further lines of the segment.</param>
    public static DaemonConfiguration Configuration(LabNetwork network, LabNode node, TunnelOptions tunnel, params string[] lines)
    {
        var configuration = new DaemonConfiguration
        {
            Node = node,
            Tunnel = tunnel with { SegmentLines = ["kind: bridged", $"bridge: {Bridge}", .. tunnel.SegmentLines, .. lines] },
            HasAddresses = false,
        };
        configuration.Peers.AddRange(network.Nodes.Where(peer => peer != node));
        return configuration;
    }

    /// <summary>Makes a tunnel of the kernel's own a port of the bridge.</summary>
    public static async Task StartKernelAsync(LabNetwork network, LabNode node, TunnelOptions tunnel)
    {
        LabNode peer = network.Nodes.Single(each => each != node);
        string kind = $"vxlan id {tunnel.Vni} local {node.Underlay} dev {LabNode.UnderlayDevice} dstport {tunnel.Port} "
            + $"{(tunnel.KernelForwarding == KernelForwarding.Learned ? "learning" : "nolearning")} {(tunnel.KernelChecksums ? "udpcsum" : "noudpcsum")}";
        await node.Host.IpAsync($"link add tunnel0 mtu {node.OverlayMtu} type {kind}", $"link set tunnel0 master {Bridge}", "link set tunnel0 up");
        await node.Host.CheckAsync("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "tunnel0", "dst", peer.Underlay);
        if (tunnel.KernelForwarding == KernelForwarding.Static) await node.Host.CheckAsync("bridge", "fdb", "append", Mac(peer), "dev", "tunnel0", "dst", peer.Underlay);
    }

    /// <summary>Pings, TCP and UDP of both families in both directions, and frames that are not IP: all arrives as it was sent.</summary>
    public static async Task ExchangeAsync(LabNode from, LabNode to)
    {
        int largest = from.OverlayMtu - 28;
        foreach (int size in new[] { 1, largest, largest + 1, 9000 })
        {
            PingResult there = await Ping.RunAsync(from.Pod, Address4(to), size);
            PingResult back = await Ping.RunAsync(to.Pod, Address6(from), size);
            Assert.True(there.Received == 1, there.Transcript);
            Assert.True(back.Received == 1, back.Transcript);
        }
        await TcpCheck.RunAsync(from.Pod, to.Pod, Address4(to), streams: 2, TcpBytes);
        await TcpCheck.RunAsync(to.Pod, from.Pod, Address6(from), streams: 2, TcpBytes);
        await UdpCheck.RunAsync(from.Pod, to.Pod, Address6(to), [1, 1001, largest - 21], count: 300);
        await UdpCheck.RunAsync(to.Pod, from.Pod, Address4(from), [1, 1001, largest], count: 300);
        await FramesAsync(from, Mac(to), count: 10, to);
        await FramesAsync(to, "ff:ff:ff:ff:ff:ff", count: 10, from);
    }

    /// <summary>Sends frames that are not IP and checks that each node gets every one once, byte for byte.</summary>
    public static Task FramesAsync(LabNode from, string destination, int count, params LabNode[] receivers) =>
        FramesAsync(from, destination, count, vlan: null, receivers);

    /// <inheritdoc cref="FramesAsync(LabNode, string, int, LabNode[])"/>
    public static async Task FramesAsync(LabNode from, string destination, int count, int? vlan, params LabNode[] receivers)
    {
        string filter = $"{(vlan is { } id ? $"vlan {id} and " : "")}ether proto {Experimental} and ether src {Mac(from)}";
        List<RunningProcess> captures = [];
        try
        {
            foreach (LabNode node in receivers)
            {
                // The number of frames ends it; one too many shows in the next test of the kind.
                RunningProcess tcpdump = node.Pod.Start(["tcpdump", "-i", "eth0", "-Q", "in", "-n", "-xx", "-l", "-c", $"{count}", filter]);
                captures.Add(tcpdump);
                await tcpdump.WaitForTextAsync("listening on", Deadline);
            }
            byte[][] frames = await SendFramesAsync(from, destination, count, vlan);
            foreach (RunningProcess tcpdump in captures)
            {
                await tcpdump.WaitForExitAsync(Deadline);
                string hex = string.Concat(tcpdump.Output.Split('\n').Where(line => line.Contains("0x0", StringComparison.Ordinal))
                    .Select(line => line[(line.IndexOf(": ", StringComparison.Ordinal) + 2)..].Replace(" ", "", StringComparison.Ordinal)));
                Assert.Equal(Convert.ToHexStringLower([.. frames.SelectMany(frame => frame)]), hex);
            }
        }
        finally
        {
            captures.ForEach(tcpdump => tcpdump.Dispose());
        }
    }

    /// <summary>Sends frames that are not IP, numbered.</summary>
    /// <returns>The frames.</returns>
    public static async Task<byte[][]> SendFramesAsync(LabNode from, string destination, int count, int? vlan)
    {
        byte[] tag = vlan is { } id ? [0x81, 0, .. PlainBytes.Word(id)] : [];
        byte[] header = [.. PlainBytes.Mac(destination), .. PlainBytes.Mac(Mac(from)), .. tag, .. PlainBytes.Word(Experimental), (byte)from.Number];
        byte[][] frames = [.. Enumerable.Range(0, count).Select(each => (byte[])[.. header, .. PlainBytes.Word(each), .. new byte[47]])];
        using PacketSocket socket = await PacketSocket.OpenAsync(from.Pod, "eth0");
        foreach (byte[] frame in frames) socket.Send(frame);
        return frames;
    }

    /// <summary>The lines of <c>overlay fdb</c> that name an address.</summary>
    public static async Task<string[]> FdbAsync(OverlayDaemon daemon, string address)
    {
        string fdb = await Command.CheckAsync(Command.ShortDeadline, null, Repository.Client, "fdb", "--socket", daemon.Socket);
        return [.. fdb.Split('\n').Where(line => line.Contains($" {address} ", StringComparison.Ordinal)).Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries)))];
    }

    /// <summary>Waits until <c>overlay fdb</c> says of an address what is expected.</summary>
    public static async Task WaitForFdbAsync(OverlayDaemon daemon, string address, Func<string[], bool> expected)
    {
        var waited = System.Diagnostics.Stopwatch.StartNew();
        while (!expected(await FdbAsync(daemon, address)))
        {
            if (waited.Elapsed > Deadline) throw new TimeoutException($"{address}: {string.Join("; ", await FdbAsync(daemon, address))}");
        }
    }

    /// <summary>Frames of a capture that tshark selects: one field, the innermost.</summary>
    public static async Task<string[]> SelectAsync(string file, TunnelOptions tunnel, string filter, string field)
    {
        string output = await Command.CheckAsync(
            TimeSpan.FromSeconds(60), null, "tshark",
            [
                "-n", "-r", file, "-d", $"udp.port=={tunnel.Port},{tunnel.Encapsulation}", "-Y", $"udp.dstport == {tunnel.Port} && ({filter})",
                "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE",
                "-o", "udp.ignore_ipv6_zero_checksum:TRUE", "-T", "fields", "-E", "occurrence=l", "-e", field,
            ]);
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
