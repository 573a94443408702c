using System.Diagnostics;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.SystemTests.Lab;

/// <summary>Reads the counters of a daemon at rest.</summary>
internal static class StatusFigures
{
    private static readonly TimeSpan RestDeadline = TimeSpan.FromSeconds(10);

    /// <summary>The status once two readings in a row show the same counters, so that no batch is under way.</summary>
    public static async Task<StatusDocument> AtRestAsync(OverlayDaemon daemon)
    {
        var waited = Stopwatch.StartNew();
        StatusDocument previous = await daemon.StatusAsync();
        while (waited.Elapsed < RestDeadline)
        {
            StatusDocument next = await daemon.StatusAsync();
            if (Counters(previous) == Counters(next)) return next;
            previous = next;
        }
        throw new TimeoutException($"counters still move after {RestDeadline}: {Counters(previous)}");
    }

    /// <summary>Waits until packets were dropped for a reason, and returns how many at rest.</summary>
    public static async Task<long> DropsAsync(OverlayDaemon daemon, string reason, long atLeast)
    {
        var waited = Stopwatch.StartNew();
        while (Drops(await daemon.StatusAsync(), reason) < atLeast)
        {
            if (waited.Elapsed > RestDeadline) throw new TimeoutException($"fewer than {atLeast} drops for {reason} after {RestDeadline}");
        }
        return Drops(await AtRestAsync(daemon), reason);
    }

    public static long Drops(StatusDocument status, string reason) => status.Queues.Sum(queue => queue.Drops[reason]);

    /// <summary>Drops in one direction, <c>egress-</c> or <c>ingress-</c>.</summary>
    public static long DropsOf(QueueStatus queue, string direction) =>
        queue.Drops.Where(drop => drop.Key.StartsWith(direction, StringComparison.Ordinal)).Sum(drop => drop.Value);

    /// <summary>The counters of a peer.</summary>
    public static PeerStatus Peer(StatusDocument status, LabNode peer) => status.Peers.Single(candidate => candidate.Name == peer.Name);

    private static string Counters(StatusDocument status) =>
        JsonSerializer.Serialize(status with { UptimeSeconds = 0 }, StatusJson.Default.StatusDocument);
}
