using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Pods;

/// <summary>From which addresses pods are seen: their own on the overlay and no others, the node's beyond it.</summary>
[Collection(PodLabFixture.Shared)]
public sealed class PodSourceTests(PodLabFixture fixture)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private PodNode A => fixture.Lab.A;

    private PodNode B => fixture.Lab.B;

    [Fact]
    public async Task Spoof_AddressOfAnotherPod_IsDroppedAndCounted()
    {
        (TestPod honest, CniOutcome victim) = await A.AddPodAsync();
        (TestPod spoofer, _) = await A.AddPodAsync();
        (TestPod target, CniOutcome other) = await B.AddPodAsync();
        await honest.Space.IpAsync("link set eth0 down");
        await spoofer.Space.IpAsync($"address add {victim.Addresses[0]}/32 dev lo", $"address add {victim.Addresses[1]}/128 dev lo");

        PingResult ipv4 = await Ping.RunAsync(spoofer.Space, victim.Addresses[0], other.Addresses[0], 3);
        PingResult ipv6 = await Ping.RunAsync(spoofer.Space, victim.Addresses[1], other.Addresses[1], 3);

        Assert.True(ipv4.Received + ipv6.Received == 0, ipv4.Transcript + ipv6.Transcript);
        string table = await A.Node.Host.CheckAsync("nft", "list", "chain", "inet", "overlay-pods", "prerouting");
        Assert.Matches(@"ip saddr \. iifname != @sources4 counter packets [1-9]", table);
        Assert.Matches(@"ip6 saddr \. iifname != @sources6 counter packets [1-9]", table);
        string end = (string)JsonNode.Parse(await A.ClientAsync("pods", "--json"))!["pods"]!.AsArray().Single(pod => (string)pod!["containerId"]! == spoofer.ContainerId)!["hostInterface"]!;
        foreach ((string from, string to) in victim.Addresses.Zip(other.Addresses))
        {
            string own = await A.ClientAsync("explain", "--from", from, "--to", to, "--json");
            CommandResult spoofed = await Command.RunAsync(
                Deadline, null, Repository.Client, "explain", "--from", from, "--to", to, "--by", end, "--json", "--socket", A.Daemon.Socket);
            Assert.Equal("ok", (string)Stage(own)["outcome"]!);
            Assert.Equal((2, "dropped", "pod-filter"), (spoofed.ExitCode, (string)Stage(spoofed.Output)["outcome"]!, (string)JsonNode.Parse(spoofed.Output)!["dropReason"]!));
        }
        Assert.Equal(A.Node.OverlayMtu, (int)JsonNode.Parse(await target.Space.CheckAsync("ip", "-j", "link", "show", "eth0"))![0]!["mtu"]!);
    }

    [Fact]
    public async Task Masquerade_LeavingTheOverlay_TakesTheNodesAddressAndIsRestoredWhenFlushed()
    {
        (TestPod pod, _) = await A.AddPodAsync();
        Assert.Equal([IPAddress.Parse(A.Node.Underlay4)], await TcpCheck.RunAsync(pod.Space, B.Node.Host, B.Node.Underlay4, 1, 1000));
        Assert.Equal([IPAddress.Parse(A.Node.Underlay6)], await TcpCheck.RunAsync(pod.Space, B.Node.Host, B.Node.Underlay6, 1, 1000));
        string before = await A.Node.Host.CheckAsync("nft", "-s", "list", "table", "inet", "overlay-pods");

        await A.Node.Host.CheckAsync("nft", "flush", "ruleset");

        await Eventually.TrueAsync(
            async () => (await A.Node.Host.RunAsync(Deadline, "nft", "-s", "list", "table", "inet", "overlay-pods")).Output == before, Deadline, "the table is back");
        Assert.Equal([IPAddress.Parse(A.Node.Underlay4)], await TcpCheck.RunAsync(pod.Space, B.Node.Host, B.Node.Underlay4, 1, 1000));
    }

    /// <summary>Masqueraded, it would come from a peer's address, and tell of any inner source.</summary>
    [Fact]
    public async Task Spoof_TunnelToAnotherNode_IsDroppedAndCounted()
    {
        (TestPod spoofer, _) = await A.AddPodAsync();

        foreach (string node in new[] { B.Node.Underlay4, B.Node.Underlay6 })
        {
            using Socket socket = await spoofer.Space.OpenAsync(() => new Socket(IPAddress.Parse(node).AddressFamily, SocketType.Dgram, ProtocolType.Udp));
            socket.SendTo([8, 0, 0, 0, 0, 0, 42, 0], new IPEndPoint(IPAddress.Parse(node), 4789));
        }

        foreach (string family in new[] { "ip", "ip6" })
        {
            await Eventually.TrueAsync(
                async () => Regex.IsMatch(
                    await A.Node.Host.CheckAsync("nft", "list", "chain", "inet", "overlay-pods", "postrouting"), $"{family} saddr [^ ]+ udp dport 4789 counter packets [1-9]"),
                Deadline, $"a datagram of {family} counted");
        }
    }

    [Fact]
    public async Task Filter_InterfaceOfOthersWithASimilarName_IsLeftAlone()
    {
        await using NetworkNamespace other = await NetworkNamespace.CreateAsync("vpn");
        await A.Node.Host.IpAsync($"link add ovpn0 type veth peer name eth0 netns {other.Name}", "address add 198.51.100.1/30 dev ovpn0", "link set ovpn0 up");
        await other.IpAsync("address add 198.51.100.2/30 dev eth0", "link set eth0 up");

        PingResult answered = await Ping.RunAsync(other, "198.51.100.1");

        Assert.True(answered.Received == 1, answered.Transcript);
        await A.Node.Host.IpAsync("link del ovpn0");
    }

    private static JsonNode Stage(string explained) => JsonNode.Parse(explained)!["stages"]!.AsArray().Single(stage => (string)stage!["name"]! == "anti-spoofing")!;
}
