using System.Diagnostics;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Routes;

/// <summary>The underlay changes beneath running daemons.</summary>
public sealed class UnderlayChangeTests
{
    private const string NewAddress = "192.0.2.11";
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Stream_AddressOfANodeChangesAndItsInterfaceGoesDownAndUp_GoesOnWithoutARestart()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        var tunnel = new TunnelOptions();
        DaemonConfiguration ofA = DaemonConfiguration.For(network.A, [network.B], tunnel);
        DaemonConfiguration ofB = DaemonConfiguration.For(network.B, [network.A], tunnel);
        // Whatever address the interface has.
        OverlayDaemon a = await network.StartDaemonAsync(network.A, ofA with { Text = ofA.ToYaml("SOCKET").Replace($"  addresses: [\"{network.A.Underlay}\"]\n", "", StringComparison.Ordinal) });
        OverlayDaemon b = await network.StartDaemonAsync(network.B, ofB);
        await using CountedDatagrams there = await CountedDatagrams.StartAsync(network.A.Pod, network.B.Pod, network.B.Pod4);
        await using CountedDatagrams back = await CountedDatagrams.StartAsync(network.B.Pod, network.A.Pod, network.A.Pod6);
        await there.PassAsync(100, Deadline);
        await back.PassAsync(100, Deadline);

        await network.A.Host.IpAsync(
            $"address del {network.A.Underlay4}/24 dev underlay0", $"address add {NewAddress}/24 dev underlay0");
        await UntilAsync(a, status => status.Underlay.Addresses.Contains(NewAddress));
        await b.ReloadAsync(ofB with { Text = ofB.ToYaml("SOCKET").Replace($"address: \"{network.A.Underlay}\"", $"address: \"{NewAddress}\"", StringComparison.Ordinal) });
        await there.PassAsync(100, Deadline);
        await back.PassAsync(100, Deadline);

        await network.A.Host.IpAsync("link set underlay0 down");
        await network.A.Host.IpAsync("link set underlay0 up");
        await there.PassAsync(100, Deadline);
        await back.PassAsync(100, Deadline);

        Assert.Contains($"the underlay's addresses are now {NewAddress}", a.Log, StringComparison.Ordinal);
        Assert.True((await a.StatusAsync()).Ready);
        // Counted on through all of it.
        Assert.InRange(StatusFigures.Peer(await a.StatusAsync(), network.B).Egress.Packets, 300, long.MaxValue);
    }

    private static async Task UntilAsync(OverlayDaemon daemon, Func<StatusDocument, bool> reached)
    {
        var waited = Stopwatch.StartNew();
        while (!reached(await daemon.StatusAsync()))
        {
            if (waited.Elapsed > Deadline) throw new TimeoutException($"not within {Deadline}: {daemon.Log}");
        }
    }
}
