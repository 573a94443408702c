using System.Globalization;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;
using Xunit.Abstractions;

namespace Overlay.SystemTests;

/// <summary>Forwarding allocates nothing, so that nothing is ever collected: told by the events of the daemon's own runtime.</summary>
public sealed class AllocationTests(ITestOutputHelper output)
{
    private const int WarmUpSeconds = 3;
    private const int LoadSeconds = 5;
    private const int IdleReports = 3;
    private const long DatagramBitsPerSecond = 300_000_000;
    private const long LeastPackets = 100_000;

    /// <summary>What may be allocated under load beyond what the reports cost: far less than a byte a packet.</summary>
    private const double Slack = 64 * 1024;

    private const long MostResident = 100_000_000;

    /// <summary>Pages touched for the first time and compiled code; a leak of some bytes a packet would be more.</summary>
    private const long MostGrowth = 8_000_000;

    [Theory]
    [InlineData((int)HostileTunnel.Vxlan, "udp-gso")]
    [InlineData((int)HostileTunnel.Vxlan, "tunnel-gso")]
    [InlineData((int)HostileTunnel.Geneve, "tunnel-gso")]
    [InlineData((int)HostileTunnel.IpInIp, "auto")]
    public async Task Forwarding_BulkTcpAndUdp_NeitherAllocatesNorCollects(int kind, string egress)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        TunnelOptions tunnel = Encapsulation.Of((HostileTunnel)kind) with { Egress = egress };
        OverlayDaemon near = await network.StartDaemonAsync(network.A, tunnel);
        OverlayDaemon far = await network.StartDaemonAsync(network.B, tunnel);
        await LoadAsync(network, WarmUpSeconds);
        DaemonMemory[] before = await Task.WhenAll(IdleAsync(near), IdleAsync(far));

        RuntimeMemory? nearLoaded = null;
        RuntimeMemory farLoaded = await RuntimeEvents.ObserveAsync(far.ProcessId, async _ =>
            nearLoaded = await RuntimeEvents.ObserveAsync(near.ProcessId, _ => LoadAsync(network, LoadSeconds)));

        await CheckAsync("sender of the stream", near, before[0], nearLoaded!);
        await CheckAsync("receiver of the stream", far, before[1], farLoaded);
    }

    private static async Task<DaemonMemory> IdleAsync(OverlayDaemon daemon)
    {
        RuntimeMemory idle = await RuntimeEvents.ObserveAsync(daemon.ProcessId, events => events.ReportsAsync(IdleReports));
        return new DaemonMemory(idle, Packets(await daemon.StatusAsync()), daemon.ResidentBytes);
    }

    private async Task CheckAsync(string end, OverlayDaemon daemon, DaemonMemory before, RuntimeMemory loaded)
    {
        long packets = Packets(await daemon.StatusAsync()) - before.Packets;
        long resident = daemon.ResidentBytes;
        string figures = string.Create(
            CultureInfo.InvariantCulture,
            $"{end}: {packets} packets, {loaded.Collections} collections, {resident} bytes resident, {before.Resident} before; allocated in each second: {string.Join(' ', loaded.Allocated)}, idle: {string.Join(' ', before.Idle.Allocated)}");
        output.WriteLine(figures);
        Assert.True(packets >= LeastPackets, figures);
        Assert.True(loaded.Collections == 0, figures);
        // The first report of a session carries what it cost to begin.
        double reporting = before.Idle.Allocated.Skip(1).Max();
        Assert.True(loaded.Allocated.Sum() <= loaded.Allocated.Count * reporting + Slack, figures);
        Assert.True(resident <= MostResident && resident - before.Resident <= MostGrowth, figures);
    }

    /// <summary>Both ways at a time, so that the daemon sends and receives super-packets and datagrams.</summary>
    private static Task LoadAsync(LabNetwork network, int seconds) => Task.WhenAll(
        Iperf.TcpAsync(network.A.Pod, network.B.Pod, network.B.Pod4, seconds),
        Iperf.UdpAsync(network.B.Pod, network.A.Pod, network.A.Pod4, seconds, DatagramBitsPerSecond));

    private static long Packets(StatusDocument status) => status.Queues.Sum(queue => queue.EgressOut.Packets + queue.IngressOut.Packets);

    private sealed record DaemonMemory(RuntimeMemory Idle, long Packets, long Resident);
}
