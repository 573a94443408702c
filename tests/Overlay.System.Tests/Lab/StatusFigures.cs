using System.Diagnostics;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.SystemTests.Lab;

/// <summary>Reads the counters of a daemon at rest.</summary>
internal static class StatusFigures
{
    private static readonly TimeSpan RestDeadline = TimeSpan.FromSeconds(10);

    /// <summary>The status once two readings in a row show the same counters, so that no batch is under way.</summary>
    /// <param name="daemon">Whose status.</param>
    /// <param name="reached">What the counters must have come to first; null: nothing.</param>
    public static async Task<StatusDocument> AtRestAsync(OverlayDaemon daemon, Func<StatusDocument, bool>? reached = null)
    {
        var waited = Stopwatch.StartNew();
        StatusDocument previous = await daemon.StatusAsync();
        while (waited.Elapsed < RestDeadline)
        {
            StatusDocument next = await daemon.StatusAsync();
            if (Counters(previous) == Counters(next) && (reached is null || reached(next))) return next;
            previous = next;
        }
        throw new TimeoutException($"counters did not come to rest where expected within {RestDeadline}: {Counters(previous)}");
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
