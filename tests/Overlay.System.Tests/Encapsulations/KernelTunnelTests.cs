using System.Text.Json;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>
/// IP-in-IP against the kernel's own ipip, sit and ip6tnl devices: both inner families both ways, byte for byte; what the kernel sent is read by
/// our decoder as by tshark.
/// </summary>
public sealed class KernelTunnelTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(UnderlayFamily.Ipv4)]
    [InlineData(UnderlayFamily.Ipv6)]
    public async Task IpInIp_KernelTunnelDevices_TalkBothWaysAndAreDecodedAsByTshark(UnderlayFamily family)
    {
        var options = new LabOptions { Family = family, TunnelPrefix = IpInIpTests.Prefix(family) };
        await using LabNetwork network = await LabNetwork.CreateAsync(options);
        // The daemon's probes would have the host that is replaced, or nobody, as the peer's neighbour.
        await using UserModeKernel kernel = await UserModeKernel.StartAsync(network.B, network.A);
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, new TunnelOptions { Encapsulation = "ipip" });
        using DeviceCapture capture = await DeviceCapture.StartAsync(network.A, "in", "ip proto 4 or ip proto 41 or ip6 proto 4 or ip6 proto 41 or ip6 proto 60", LabNode.UnderlayDevice);

        await VerifiedTraffic.ExchangeAsync(network.A, network.B, options);

        StatusDocument status = await StatusFigures.AtRestAsync(daemon);
        Assert.Equal(0, status.Queues.Sum(queue => StatusFigures.DropsOf(queue, "ingress-")));
        await capture.StopAsync(1000);
        await AssertDecodedAsByTsharkAsync(capture.File, isIpv4: family == UnderlayFamily.Ipv4);
    }

    private static async Task AssertDecodedAsByTsharkAsync(string file, bool isIpv4)
    {
        string[] lines = (await Command.CheckAsync(Deadline, null, Repository.Client, ["decode", "--json", file])).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        List<string[][]> frames = await Tshark.FieldsAsync(
            file, "frame", "frame.number", "ip.proto", "ip.src", "ip.dst", "ip.len", "ipv6.src", "ipv6.dst", "ipv6.plen", "ipv6.dstopts.nxt", "ipv6.opt.tel");
        Assert.Equal(frames.Count, lines.Length);
        var encapsulations = new HashSet<string>();
        for (int i = 0; i < lines.Length; i++)
        {
            JsonElement decoded = JsonDocument.Parse(lines[i]).RootElement;
            string[][] seen = frames[i];
            bool innerIsIpv4 = isIpv4 ? seen[1][0] == "4" : seen[8][0] == "4";
            string[] inner = innerIsIpv4 ? [seen[2][^1], seen[3][^1]] : [seen[5][^1], seen[6][^1]];
            string encapsulation = (isIpv4, innerIsIpv4) switch
            {
                (true, true) => "ipip",
                (true, false) => "sit",
                (false, true) => "ip4ip6",
                _ => "ip6ip6",
            };
            encapsulations.Add(encapsulation);
            int length = isIpv4 ? Tshark.Number(seen[4][0]) - 20 : Tshark.Number(seen[7][0]) - 8;
            Assert.Equal(
                $"{seen[0][0]} {encapsulation} {(isIpv4 ? seen[2] : seen[5])[0]} {(isIpv4 ? seen[3] : seen[6])[0]} {length} {inner[0]} {inner[1]} ",
                string.Join(' ', new[] { "frame", "encap", "outer_src", "outer_dst", "inner_len", "inner_src", "inner_dst", "error" }.Select(key => decoded.GetProperty(key).ToString())));
            // RFC 2473, 6.6: the kernel's default limit is the recommended one, as ours is.
            if (!isIpv4) Assert.Equal("4", seen[9][0]);
        }
        Assert.Equal(2, encapsulations.Count);
        Assert.True(lines.Length > 1000, $"{lines.Length} frames");
    }
}
