using System.Diagnostics;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Mtu;

/// <summary>Changes the MTU of both ends of an underlay, and waits until the daemons have taken notice.</summary>
internal static class UnderlayMtu
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    public static async Task SetAsync(int mtu, params OverlayDaemon[] daemons)
    {
        foreach (OverlayDaemon daemon in daemons) await daemon.Host.IpAsync($"link set {LabNode.UnderlayDevice} mtu {mtu}");
        var waited = Stopwatch.StartNew();
        foreach (OverlayDaemon daemon in daemons)
        {
            while ((await daemon.StatusAsync()).Underlay.Mtu != mtu)
            {
                if (waited.Elapsed > Deadline) throw new TimeoutException($"not noticed within {Deadline}: {daemon.Log}");
            }
        }
    }

    /// <summary>Has a pod forget the path MTUs that it was told.</summary>
    public static Task ForgetPathsAsync(NetworkNamespace pod) => pod.CheckAsync("sh", "-c", "ip route flush cache && ip -6 route flush cache");
}
