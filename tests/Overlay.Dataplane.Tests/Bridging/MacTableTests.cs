using Overlay.Dataplane.Bridging;

namespace Overlay.Dataplane.Tests.Bridging;

public sealed class MacTableTests
{
    private const long Ageing = 1000;

    [Fact]
    public void Learn_Move_IsFollowed()
    {
        var table = new MacTable(16);
        Assert.Equal(LearnOutcome.Known, table.Learn(7, 1, 0, Ageing));
        Assert.Equal(LearnOutcome.Moved, table.Learn(7, 2, 1, Ageing));
        Assert.Equal(2, table.Find(7, 1, Ageing));
        Assert.Equal(1, table.Count);
    }

    [Fact]
    public void Learn_ElsewhereAfterAgeing_IsNoMove()
    {
        var table = new MacTable(16);
        table.Learn(7, 1, 0, Ageing);
        Assert.Equal(LearnOutcome.Known, table.Learn(7, 2, Ageing + 1, Ageing));
        Assert.Equal(2, table.Find(7, Ageing + 1, Ageing));
    }

    [Fact]
    public void Find_AfterAgeing_IsUnknown()
    {
        var table = new MacTable(16);
        table.Learn(7, 1, 0, Ageing);
        Assert.Equal(1, table.Find(7, Ageing, Ageing));
        Assert.Equal(MacTable.Unknown, table.Find(7, Ageing + 1, Ageing));
        table.Sweep(Ageing + 1, Ageing, _ => true);
        Assert.Equal(0, table.Count);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(100)]
    [InlineData(4096)]
    public void Learn_MoreThanTheLimit_IsFullAndKeepsTheFirst(int limit)
    {
        var table = new MacTable(limit);
        for (ulong mac = 1; mac <= (ulong)limit; mac++) Assert.Equal(LearnOutcome.Known, table.Learn(mac, 3, 0, Ageing));
        Assert.Equal(LearnOutcome.Full, table.Learn(0xffff, 3, 0, Ageing));
        Assert.Equal(limit, table.Count);
        for (ulong mac = 1; mac <= (ulong)limit; mac++) Assert.Equal(3, table.Find(mac, 0, Ageing));
    }

    [Fact]
    public void Learn_ByManyThreads_LeavesEachAddressOnce()
    {
        const int addresses = 200;
        var table = new MacTable(256);
        Parallel.For(0, 4, thread =>
        {
            var random = new Random(thread);
            for (int i = 0; i < 200_000; i++)
            {
                ulong mac = (ulong)random.Next(1, addresses + 1);
                table.Learn(mac, 1 + (int)(mac % 7), i / 1000, Ageing);
                int found = table.Find(mac, i / 1000, Ageing);
                if (found is not MacTable.Unknown && found != 1 + (int)(mac % 7)) throw new InvalidOperationException($"{mac} at {found}");
                if (i % 5000 == 0) table.Sweep(long.MaxValue / 2, 0, _ => true);
            }
        });
        for (ulong mac = 1; mac <= addresses; mac++) table.Learn(mac, 1, 0, long.MaxValue);
        Assert.Equal(addresses, table.List(0, long.MaxValue).Select(each => each.Mac).Distinct().Count());
        Assert.Equal(addresses, table.List(0, long.MaxValue).Count);
        Assert.Equal(addresses, table.Count);
    }
}
