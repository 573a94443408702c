using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>Pings, TCP and UDP of both inner families in both directions, arrived byte for byte, with every datagram of the first node captured.</summary>
internal static class VerifiedTraffic
{
    private const long TcpBytes = 4 << 20;

    /// <returns>What the first node sent.</returns>
    public static async Task<IReadOnlyList<CapturedDatagram>> RunAsync(LabNode from, LabNode to, LabOptions options, TunnelOptions tunnel)
    {
        await using Capture capture = await Capture.StartAsync(from, to);
        await ExchangeAsync(from, to, options);
        return await capture.StopAsync(tunnel.Port, tunnel.Encapsulation);
    }

    /// <summary>The traffic alone.</summary>
    public static async Task ExchangeAsync(LabNode from, LabNode to, LabOptions options)
    {
        int largest = options.OverlayMtu - 28;
        foreach (int size in new[] { 1, largest, largest + 1, 9000 })
        {
            PingResult there = await Ping.RunAsync(from.Pod, to.Pod4, size);
            PingResult back = await Ping.RunAsync(to.Pod, from.Pod6, size);
            Assert.True(there.Received == 1, there.Transcript);
            Assert.True(back.Received == 1, back.Transcript);
        }
        await TcpCheck.RunAsync(from.Pod, to.Pod, to.Pod4, streams: 2, TcpBytes);
        await TcpCheck.RunAsync(from.Pod, to.Pod, to.Pod6, streams: 2, TcpBytes);
        await TcpCheck.RunAsync(to.Pod, from.Pod, from.Pod4, streams: 2, TcpBytes);
        await UdpCheck.RunAsync(from.Pod, to.Pod, to.Pod6, [1, 1001, largest - 21], count: 300);
        await UdpCheck.RunAsync(to.Pod, from.Pod, from.Pod4, [1, 1001, largest], count: 300);
    }

    public static TunnelRules Rules(LabNode from, LabNode to, LabOptions options, TunnelOptions tunnel) => new()
    {
        Sender = from,
        Receiver = to,
        Tunnel = tunnel,
        UnderlayMtu = options.UnderlayMtu,
    };
}
