using System.Diagnostics;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Mtu;

/// <summary>Changes the MTU of both ends of an underlay, or of its middle, and waits until the daemons have taken notice.</summary>
internal static class UnderlayMtu
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    public static async Task SetAsync(int mtu, params OverlayDaemon[] daemons)
    {
        foreach (OverlayDaemon daemon in daemons) await daemon.Host.IpAsync($"link set {LabNode.UnderlayDevice} mtu {mtu}");
        await UntilAsync(status => status.Underlay.Mtu == mtu, daemons);
    }

    /// <summary>The same for a link between routers, which the daemons must find out about.</summary>
    public static async Task SetMiddleAsync(LabNetwork network, int mtu, params OverlayDaemon[] daemons)
    {
        await network.Routers!.SetMiddleMtuAsync(mtu);
        await FoundAsync(mtu, daemons);
    }

    /// <summary>Waits until daemons have found that the path to their peer carries so much.</summary>
    public static Task FoundAsync(int mtu, params OverlayDaemon[] daemons) =>
        UntilAsync(status => status.Peers[0].Path is { State: "complete" } path && path.Mtu == mtu, daemons);

    /// <summary>Waits until the status of daemons shows something.</summary>
    public static async Task UntilAsync(Func<StatusDocument, bool> reached, params OverlayDaemon[] daemons)
    {
        var waited = Stopwatch.StartNew();
        foreach (OverlayDaemon daemon in daemons)
        {
            StatusDocument status = await daemon.StatusAsync();
            for (; !reached(status); status = await daemon.StatusAsync())
            {
                if (waited.Elapsed > Deadline) throw new TimeoutException($"not noticed within {Deadline}: {status.Underlay}, {status.Peers[0].Path}, {daemon.Log}");
            }
        }
    }

    /// <summary>Has a pod forget the path MTUs that it was told.</summary>
    public static Task ForgetPathsAsync(NetworkNamespace pod) => pod.CheckAsync("sh", "-c", "ip route flush cache && ip -6 route flush cache");
}
