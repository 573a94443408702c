using System.Net;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Pods;

/// <summary>Pods that are ports of a bridge.</summary>
public sealed class PodBridgeTests
{
    [Fact]
    public async Task Bridge_PodsAndNodes_TalkAndCannotSpoof()
    {
        await using PodLab lab = await PodLab.CreateAsync(lines: "mode: bridge");
        (TestPod one, CniOutcome first) = await lab.A.AddPodAsync();
        (TestPod other, CniOutcome second) = await lab.A.AddPodAsync();
        (TestPod far, CniOutcome third) = await lab.B.AddPodAsync();

        Assert.EndsWith("/25", (string)first.Json["ips"]![0]!["address"]!);
        Assert.Equal("10.244.1.129", (string)first.Json["ips"]![0]!["gateway"]!);
        for (int family = 0; family < 2; family++)
        {
            IPAddress source = IPAddress.Parse(first.Addresses[family]);
            Assert.Equal([source], await TcpCheck.RunAsync(one.Space, other.Space, second.Addresses[family], 1, 1 << 20));
            Assert.Equal([source], await TcpCheck.RunAsync(one.Space, far.Space, third.Addresses[family], 1, 1 << 20));
            PingResult fromNode = await Ping.RunAsync(lab.A.Node.Host, first.Addresses[family], count: 2);
            Assert.True(fromNode.Received == 2, fromNode.Transcript);
        }
        Assert.Contains("hairpin on", await lab.A.Node.Host.CheckAsync("ip", "-d", "link", "show", "master", "overlay-pods"), StringComparison.Ordinal);
        Assert.Equal([IPAddress.Parse(lab.A.Node.Underlay4)], await TcpCheck.RunAsync(one.Space, lab.B.Node.Host, lab.B.Node.Underlay4, 1, 1000));

        await one.Space.IpAsync($"address add {second.Addresses[0]}/32 dev eth0", $"address add {second.Addresses[1]}/128 dev eth0 nodad");
        PingResult spoofed4 = await Ping.RunAsync(one.Space, second.Addresses[0], third.Addresses[0], 2);
        PingResult spoofed6 = await Ping.RunAsync(one.Space, second.Addresses[1], third.Addresses[1], 2);
        Assert.True(spoofed4.Received + spoofed6.Received == 0, spoofed4.Transcript + spoofed6.Transcript);
        await one.Space.RunAsync(Command.ShortDeadline, "ping", "-c", "1", "-W", "1", "-I", second.Addresses[0], "10.244.1.250");
        Assert.Matches(@"arp saddr ip \. iifname != @sources4 counter packets [1-9]", await lab.A.Node.Host.CheckAsync("nft", "list", "table", "bridge", "overlay-pods"));

        foreach (TestPod pod in new[] { one, other }) await lab.A.DeleteAsync(pod);
        await lab.A.Daemon.StopAsync();
        Assert.DoesNotContain("overlay-pods", await lab.A.Node.Host.CheckAsync("sh", "-c", "ip link; nft list ruleset"), StringComparison.Ordinal);
    }
}
