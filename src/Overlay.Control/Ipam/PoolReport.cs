using System.Globalization;
using System.Net;
using Overlay.Control.Model;
using Overlay.Rpc.Control;

namespace Overlay.Control.Ipam;

/// <summary>How full pools are, and when they will be.</summary>
public static class PoolReport
{
    private const double Window = 7;

    /// <summary>A pool that is younger than this is not forecast from a whole day's growth of it.</summary>
    private const double LeastDays = 1.0 / 24;

    public static IEnumerable<PoolUsage> Of(NetworkDocument network, IReadOnlyList<BlockDocument> blocks, DateTimeOffset now) =>
        network.Pools.Select(pool => Of(network.Name, pool, blocks, now));

    private static PoolUsage Of(string network, PoolDocument pool, IReadOnlyList<BlockDocument> blocks, DateTimeOffset now)
    {
        var space = new BlockSpace(pool);
        BlockDocument[] inside = [.. blocks.Where(block => space.IndexOf(IPNetwork.Parse(block.Prefix)) is not null)];
        BlockDocument[] held = [.. inside.Where(block => block.Holder is not null)];
        UInt128 leased = (UInt128)held.Length;
        UInt128 excluded = space.ExcludedCount;
        UInt128 free = space.Count - excluded > leased ? space.Count - excluded - leased : 0;
        double growth = Growth(inside, now);
        return new PoolUsage
        {
            Network = network,
            Prefix = pool.Prefix,
            BlockLength = pool.BlockLength,
            Blocks = Text(space.Count),
            Leased = Text(leased),
            Free = Text(free),
            Excluded = Text(excluded),
            Holders =
            {
                held.GroupBy(block => block.Holder!).OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal)
                    .Select(group => new Holder { Node = group.Key, Blocks = group.Count() }),
            },
            LeasedADay = growth,
            DaysLeft = growth > 0 ? (double)free / growth : -1,
        };
    }

    /// <summary>Blocks leased less those given back, a day, over the last days.</summary>
    private static double Growth(BlockDocument[] blocks, DateTimeOffset now)
    {
        if (blocks.Length == 0) return 0;
        DateTimeOffset from = now.AddDays(-Window);
        DateTimeOffset first = blocks.Min(block => block.History.Count > 0 ? block.History[^1].From : block.Since);
        double days = Math.Max((now - (first > from ? first : from)).TotalDays, LeastDays);
        int net = blocks.Count(block => block.Holder is not null) - blocks.Count(block => WasHeld(block, from));
        return net / days;
    }

    private static bool WasHeld(BlockDocument block, DateTimeOffset then) =>
        block.Since <= then ? block.Holder is not null : block.History.Any(tenure => tenure.From <= then && tenure.To > then);

    private static string Text(UInt128 count) => count.ToString(CultureInfo.InvariantCulture);
}
