using Overlay.Rpc;

namespace Overlay.Cli.Top;

/// <summary>How much of something there was a second.</summary>
/// <param name="Packets">As on the wire.</param>
/// <param name="Bits">Of the inner frames.</param>
public readonly record struct Rate(double Packets, double Bits)
{
    /// <summary>Between two totals; a total that fell is one that began anew.</summary>
    public static Rate Between(TrafficStatus before, TrafficStatus now, double seconds) => now.Packets < before.Packets
        ? new Rate(now.Packets / seconds, now.Bytes * 8 / seconds)
        : new Rate((now.Packets - before.Packets) / seconds, (now.Bytes - before.Bytes) * 8 / seconds);

    public static Rate operator +(Rate left, Rate right) => new(left.Packets + right.Packets, left.Bits + right.Bits);
}

/// <param name="Dropped">Packets a second, for it and from it.</param>
/// <param name="BlackHole">Packets are lost for their size.</param>
/// <param name="Loops">The host's route to it leads back into the daemon's device, so that nothing is sent to it.</param>
/// <param name="RoundTripMilliseconds">Of probes; null: none was answered.</param>
public sealed record PeerRate(string Name, string Endpoint, Rate Out, Rate In, double Dropped, int PathMtu, bool BlackHole, bool Loops, double? RoundTripMilliseconds);

/// <param name="Name">Null: datagrams that belong to no segment.</param>
/// <param name="Dropped">Packets a second, both ways.</param>
public sealed record SegmentRate(string? Name, Rate Out, Rate In, double Dropped);

/// <param name="PerSecond">Packets.</param>
/// <param name="Total">Packets since the daemon started.</param>
/// <param name="Peers">Those that the packets were for or came from, most first; without packets of nobody in particular.</param>
public sealed record DropRate(string Reason, double PerSecond, long Total, string Meaning, IReadOnlyList<PeerDropRate> Peers);

/// <param name="PerSecond">Packets.</param>
/// <param name="Total">Packets since the daemon started.</param>
public sealed record PeerDropRate(string Name, double PerSecond, long Total);

/// <summary>What went on between two readings of a daemon's status.</summary>
/// <param name="Seconds">Between the two.</param>
public sealed record TopFrame(
    string Node, string Version, double UptimeSeconds, long Revision, bool Ready, double Seconds, Rate Out, Rate In,
    IReadOnlyList<PeerRate> Peers, IReadOnlyList<SegmentRate> Segments, IReadOnlyList<DropRate> Drops)
{
    /// <param name="before">The earlier status.</param>
    /// <param name="now">The later one.</param>
    /// <param name="seconds">Between them.</param>
    public static TopFrame Between(StatusDocument before, StatusDocument now, double seconds)
    {
        var none = new TrafficStatus(0, 0, 0);
        Dictionary<string, PeerStatus> peers = before.Peers.ToDictionary(peer => peer.Name);
        PeerRate[] rates =
        [
            .. from peer in now.Peers
               let earlier = peers.GetValueOrDefault(peer.Name)
               select new PeerRate(
                   peer.Name, peer.Endpoint, Rate.Between(earlier?.Egress ?? none, peer.Egress, seconds), Rate.Between(earlier?.Ingress ?? none, peer.Ingress, seconds),
                   peer.Drops.Sum(drop => Growth(earlier?.Drops.GetValueOrDefault(drop.Key) ?? 0, drop.Value)) / seconds,
                   peer.Path.Mtu, peer.Path.BlackHole, peer.Path.LeadsBack, peer.Path.RoundTripMilliseconds),
        ];
        SegmentRate[] segments = [.. now.Queues.GroupBy(queue => queue.Segment).Select(queues => SegmentRateOf(queues.Key, [.. queues], before, seconds))];
        DropRate[] drops =
        [
            .. from reason in now.DropReasons
               let total = Total(now, reason.Key)
               where total > 0
               let earlier = Total(before, reason.Key)
               select new DropRate(reason.Key, Growth(earlier, total) / seconds, total, reason.Value, Peers(reason.Key)),
        ];
        return new TopFrame(
            now.Node, now.Version, now.UptimeSeconds, now.Revision, now.Ready, seconds,
            rates.Aggregate(default(Rate), (sum, peer) => sum + peer.Out), rates.Aggregate(default(Rate), (sum, peer) => sum + peer.In),
            rates, segments, [.. drops.OrderByDescending(drop => drop.PerSecond).ThenByDescending(drop => drop.Total)]);

        PeerDropRate[] Peers(string reason) =>
        [
            .. from peer in now.Peers
               let total = peer.Drops.GetValueOrDefault(reason)
               where total > 0
               let rate = Growth(peers.GetValueOrDefault(peer.Name)?.Drops.GetValueOrDefault(reason) ?? 0, total) / seconds
               orderby rate descending, total descending
               select new PeerDropRate(peer.Name, rate, total),
        ];
    }

    /// <summary>Between two totals; one that fell began anew.</summary>
    private static long Growth(long before, long now) => now >= before ? now - before : now;

    private static SegmentRate SegmentRateOf(string? name, QueueStatus[] now, StatusDocument before, double seconds)
    {
        Rate egress = default, ingress = default;
        double dropped = 0;
        foreach (QueueStatus queue in now)
        {
            QueueStatus? earlier = before.Queues.FirstOrDefault(each => each.Queue == queue.Queue && each.Segment == name);
            var none = new TrafficStatus(0, 0, 0);
            egress += Rate.Between(earlier?.EgressOut ?? none, queue.EgressOut, seconds);
            ingress += Rate.Between(earlier?.IngressOut ?? none, queue.IngressOut, seconds);
            dropped += Math.Max(0, queue.Drops.Values.Sum() - (earlier?.Drops.Values.Sum() ?? 0)) / seconds;
        }
        return new SegmentRate(name, egress, ingress, dropped);
    }

    private static long Total(StatusDocument status, string reason) => status.Queues.Sum(queue => queue.Drops.GetValueOrDefault(reason));
}
