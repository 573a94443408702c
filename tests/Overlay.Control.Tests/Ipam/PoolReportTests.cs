using Overlay.Control.Ipam;
using Overlay.Control.Model;
using Overlay.Rpc.Control;

namespace Overlay.Control.Tests.Ipam;

/// <summary>How full pools are, and when they will be, at a moment that the test chooses.</summary>
public sealed class PoolReportTests
{
    private static readonly DateTimeOffset Now = new(2026, 3, 20, 12, 0, 0, TimeSpan.Zero);

    /// <summary>64 blocks of /26, of which four are excluded.</summary>
    private static readonly PoolDocument Pool = new("10.1.0.0/20", 26, ["10.1.15.0/24"]);

    private int _next;

    [Fact]
    public void Of_BlocksLeasedOverFiveDays_LastAsLongAsAtThatPace()
    {
        PoolUsage pool = Report([.. Enumerable.Range(0, 10).Select(i => Held(daysAgo: 5 - (i * 0.5)))]);

        Assert.Equal(("64", "10", "50", "4"), (pool.Blocks, pool.Leased, pool.Free, pool.Excluded));
        Assert.Equal(2.0, pool.LeasedADay, 1e-9);
        Assert.Equal(25.0, pool.DaysLeft, 1e-9);
        Assert.Equal(("a", 10), (pool.Holders.Single().Node, pool.Holders.Single().Blocks));
    }

    [Fact]
    public void Of_BlocksOlderThanTheWindow_DoNotCountAsGrowth()
    {
        PoolUsage pool = Report([.. Enumerable.Range(0, 20).Select(_ => Held(daysAgo: 100)), .. Enumerable.Range(0, 7).Select(_ => Held(daysAgo: 1))]);

        Assert.Equal(1.0, pool.LeasedADay, 1e-9);
        Assert.Equal(33.0, pool.DaysLeft, 1e-9);
    }

    [Fact]
    public void Of_BlocksGivenBackAndLeasedAgain_CountOnlyTheNetGrowth()
    {
        BlockDocument handedOn = Held(daysAgo: 2) with { History = [new BlockTenure("b", Now.AddDays(-50), Now.AddDays(-3))] };
        BlockDocument given = Held(daysAgo: 0) with { Holder = null, Since = Now.AddDays(-1), History = [new BlockTenure("a", Now.AddDays(-50), Now.AddDays(-1))] };
        BlockDocument passing = Held(daysAgo: 0) with { Holder = null, Since = Now.AddDays(-1), History = [new BlockTenure("a", Now.AddDays(-6), Now.AddDays(-1))] };

        PoolUsage level = Report([handedOn, given, passing, Held(daysAgo: 3)]);
        PoolUsage shrinking = Report([handedOn, given, passing]);

        Assert.Equal((0.0, -1.0), (level.LeasedADay, level.DaysLeft));
        Assert.Equal(-1.0 / 7, shrinking.LeasedADay, 1e-9);
        Assert.Equal(-1.0, shrinking.DaysLeft);
    }

    [Fact]
    public void Of_PoolOfThisMinute_IsTakenToGrowByNoMoreThanItsBlocksAnHour()
    {
        PoolUsage pool = Report([Held(daysAgo: 0), Held(daysAgo: 1.0 / 1440)]);

        Assert.Equal(48.0, pool.LeasedADay, 1e-9);
        Assert.Equal(58 / 48.0, pool.DaysLeft, 1e-9);
    }

    [Fact]
    public void Of_EveryBlockLeased_LastsNoDay()
    {
        PoolUsage pool = Report([.. Enumerable.Range(0, 60).Select(_ => Held(daysAgo: 6))]);

        Assert.Equal(("0", 0.0), (pool.Free, pool.DaysLeft));
    }

    [Fact]
    public void Of_LentPartsAndBlocksOfOtherPools_AreNotCounted()
    {
        var other = new BlockDocument("pods", "10.9.0.0/26", "b", Now.AddDays(-1), []);
        var part = new BlockDocument("pods", "10.1.0.48/29", "b", Now.AddDays(-1), []) { LentBy = "a" };

        PoolUsage pool = Report([Held(daysAgo: 7), other, part]);

        Assert.Equal(("1", "59"), (pool.Leased, pool.Free));
        Assert.Equal("a", Assert.Single(pool.Holders).Node);
    }

    private BlockDocument Held(double daysAgo)
    {
        int number = _next++;
        return new BlockDocument("pods", $"10.1.{number / 4}.{number % 4 * 64}/26", "a", Now.AddDays(-daysAgo), []);
    }

    private static PoolUsage Report(BlockDocument[] blocks) => PoolReport.Of(new NetworkDocument("pods", 42, "vxlan", [Pool]), blocks, Now).Single();
}
