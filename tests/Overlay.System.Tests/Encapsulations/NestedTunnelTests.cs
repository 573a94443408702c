using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>The tunnel encapsulation limit on a live daemon (RFC 2473, 4.1.1), read by tshark.</summary>
public sealed class NestedTunnelTests
{
    private const byte DestinationOptions = 60;
    private const int NoLimit = -1;
    private const int FirstPort = 10_000;

    [Theory]
    [InlineData(null, "4")]
    [InlineData("encapsulationLimit: 0", "0")]
    [InlineData("encapsulationLimit: none", "")]
    public async Task Encapsulate_PacketsWithAndWithoutALimit_WritesOneLessOrTheConfiguredOneAndRefusesZero(string? line, string configured)
    {
        var tunnel = new TunnelOptions { Encapsulation = "ipip", TunnelLines = line is null ? [] : [line] };
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = UnderlayFamily.Ipv6 });
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, tunnel);
        using DeviceCapture answers = await DeviceCapture.StartAsync(network.A, "in", "icmp6");
        await using Capture capture = await Capture.StartAsync(network.A, network.B);
        int[] limits = [NoLimit, 0, 1, 5, 255, NoLimit];
        using (PacketSocket device = await PacketSocket.OpenAsync(network.A.Host, "overlay0"))
        {
            for (int i = 0; i < limits.Length; i++)
                device.Send([.. PlainBytes.Mac("02:00:00:00:00:09"), .. PlainBytes.Mac(network.A.Mac), 0x86, 0xdd, .. Packet(network, limits[i], FirstPort + i)]);
            device.Send([.. PlainBytes.Mac("02:00:00:00:00:09"), .. PlainBytes.Mac(network.A.Mac), 8, 0, .. Ipv4(network)]);
        }

        StatusDocument status = await StatusFigures.AtRestAsync(daemon, reached => StatusFigures.Drops(reached, "egress-encapsulation-limit") == 1);
        await capture.CloseAsync();
        await answers.StopAsync(1);
        List<string[][]> sent = await Tshark.FieldsAsync(
            capture.File, $"ipv6.dst == {network.B.Underlay} && udp.srcport >= {FirstPort} && udp.srcport < {FirstPort + 100}", "udp.srcport", "ipv6.opt.tel");
        Assert.Equal(
            [$"10000 {configured}", "10002 0", "10003 4", "10004 254", $"10005 {configured}", $"10099 {configured}"],
            sent.Select(row => $"{row[0][0]} {row[1].FirstOrDefault()}").Order());
        string[][] problem = Assert.Single(await Tshark.FieldsAsync(
            answers.File, "icmpv6.type == 4", "icmpv6.code", "icmpv6.pointer", "icmpv6.checksum.status", "ipv6.src", "ipv6.dst"));
        // 40 bytes of header, two of the options header, two of the option in front of its value.
        Assert.Equal(["0", "44", "1", network.B.Pod6, network.A.Pod6], problem.Select(field => field[0]));
        Assert.Equal(1, status.Queues.Sum(queue => queue.IcmpErrors));
    }

    private static byte[] Packet(LabNetwork network, int limit, int port)
    {
        byte[] udp = PlainBytes.Udp(network.A.Pod6, network.B.Pod6, port, 7, [1, 2, 3, 4]);
        return limit == NoLimit
            ? PlainBytes.Ipv6(network.A.Pod6, network.B.Pod6, 17, udp)
            : PlainBytes.Ipv6(network.A.Pod6, network.B.Pod6, DestinationOptions, [17, 0, 4, 1, (byte)limit, 1, 1, 0, .. udp]);
    }

    private static byte[] Ipv4(LabNetwork network) => PlainBytes.Ipv4(
        network.A.Pod4, network.B.Pod4, 17, PlainBytes.Udp(network.A.Pod4, network.B.Pod4, FirstPort + 99, 7, [1, 2, 3, 4]));
}
