using Overlay.Dataplane.Forwarding;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Forwarding;

public sealed class RouteTableTests
{
    private static readonly UInt128 Dense6 = new(0xfd00000000000000, 0);

    private readonly int[] _two = new int[2];

    [Fact]
    public void Lookup_RandomPrefixes_EqualsLinearScan() => Seeded.Check(150, random =>
    {
        RoutePrefix[] prefixes = RandomPrefixes(random, random.Next(0, random.Next(4) == 0 ? 2_000 : 200));
        var table = new RouteTable(prefixes);
        for (int i = 0; i < 2_000; i++)
        {
            UInt128 address = Near(random, prefixes);
            if (IpBits.IsMapped(address)) Assert.Equal(Scan(prefixes, address), table.LookupV4((uint)address));
            else Assert.Equal(Scan(prefixes, address), table.LookupV6(address));
        }
    });

    [Fact]
    public void Match_RandomPrefixes_IsTheOneWhoseValueALookupReturns() => Seeded.Check(60, random =>
    {
        // Values that tell the prefixes apart.
        RoutePrefix[] prefixes = [.. RandomPrefixes(random, random.Next(0, random.Next(4) == 0 ? 2_000 : 200)).Select((prefix, i) => prefix with { Value = i })];
        var table = new RouteTable(prefixes);
        for (int i = 0; i < 1_000; i++)
        {
            UInt128 address = Near(random, prefixes);
            int value = Scan(prefixes, address);
            Assert.Equal(value == RouteTable.NoRoute ? null : prefixes[value], table.Match(address));
        }
    });

    [Fact]
    public void Lookup_SeveralAtATime_EqualsThoseOneByOne() => Seeded.Check(60, random =>
    {
        RoutePrefix[] prefixes = RandomPrefixes(random, random.Next(0, random.Next(4) == 0 ? 2_000 : 200));
        var table = new RouteTable(prefixes);
        UInt128[] destinations = [.. Enumerable.Range(0, random.Next(100)).Select(_ => Near(random, prefixes))];
        uint[] v4 = [.. destinations.Where(IpBits.IsMapped).Select(destination => (uint)destination)];
        UInt128[] v6 = [.. destinations.Where(destination => !IpBits.IsMapped(destination))];
        int[] values = new int[100];
        table.LookupV4(v4, values);
        Assert.Equal(v4.Select(destination => Scan(prefixes, IpBits.Mapped(destination))), values[..v4.Length]);
        table.LookupV6(v6, values);
        Assert.Equal(v6.Select(destination => Scan(prefixes, destination)), values[..v6.Length]);
    });

    [Fact]
    public void Lookup_ManyPrefixesInSixteenBits_EqualsValuesAnAddress() => Seeded.Check(6, random =>
    {
        // Below 10.0.0.0/8 none longer than /24, below 10.1.0.0/16 or fd00::/112 down to single addresses.
        (UInt128 network, int depth) = random.Next(3) switch { 0 => (IpBits.Mapped(0x0a000000), 8), 1 => (IpBits.Mapped(0x0a010000), 16), _ => (Dense6, 112) };
        int bits = IpBits.IsMapped(network) ? 32 : 128, host = bits - depth - 16;
        var table = new RouteTable([new RoutePrefix(network, depth, 7)]);
        // By prefix length, of each of the sixteen bits' values.
        int[][] oracle = [.. Enumerable.Range(0, 17).Select(length => Enumerable.Repeat(length == 0 ? 7 : RouteTable.NoRoute, 1 << 16).ToArray())];
        foreach (int goal in (int[])[700, 490, 3_000, 300])
        {
            while (table.Count != goal)
            {
                int length = Math.Max(1, 16 - (random.Next(1 << 16) is var draw && draw < 4_096 ? random.Next(16) : random.Next(6)));
                int slot = random.Next(1 << 16) >> (16 - length) << (16 - length);
                int value = random.Next(RouteRuns.MaxValue);
                UInt128 address = network | (UInt128)(uint)slot << host;
                if (table.Count < goal) table = table.With(new RoutePrefix(address, depth + length, value));
                else if (oracle[length][slot] == RouteTable.NoRoute) continue;
                else (table, value) = (table.Without(address, depth + length), RouteTable.NoRoute);
                oracle[length].AsSpan(slot, 1 << (16 - length)).Fill(value);
            }
            var rebuilt = new RouteTable(Prefixes(oracle, network, depth, host));
            for (int slot = 0; slot < 1 << 16; slot++)
            {
                int length = 16;
                while (oracle[length][slot] == RouteTable.NoRoute) length--;
                UInt128 address = network | (UInt128)(uint)slot << host;
                Assert.Equal(oracle[length][slot], Lookup(table, address));
                Assert.Equal(oracle[length][slot], Lookup(rebuilt, address));
            }
        }
    });

    [Fact]
    public void Lookup_ManyPrefixesFarApart_EqualsADictionary() => Seeded.Check(1, random =>
    {
        // So many that what they need is laid out in one place.
        var prefixes = new Dictionary<UInt128, int>();
        while (prefixes.Count < 20_000)
            prefixes[new UInt128(0x2a00000000000000 | (ulong)random.Next(1 << 12) << 44 | (ulong)random.Next(1 << 8) << 32, (ulong)random.Next(2) << 40)] = random.Next(1_000);
        var table = new RouteTable(prefixes.Select(prefix => new RoutePrefix(prefix.Key, 96, prefix.Value)));
        foreach ((UInt128 address, int value) in prefixes)
        {
            Assert.Equal(value, table.LookupV6(address | (uint)random.Next()));
            table.LookupV6([address, address | 1UL << 32], _two);
            Assert.Equal([value, RouteTable.NoRoute], _two);
        }
    });

    [Fact]
    public void Lookup_SeveralAtATimeAmongManyPrefixes_EqualsThoseOneByOne() => Seeded.Check(20, random =>
    {
        // Blocks with a shorter prefix around them, with the default route only and with neither; and now and then what is in no block.
        var prefixes = new Dictionary<(uint, int), int>();
        if (random.Next(2) == 0) prefixes[(0, 0)] = 1;
        if (random.Next(2) == 0) prefixes[(0x0a000000, random.Next(2) == 0 ? 8 : 7)] = 2;
        foreach (uint network in (uint[])[0x0a, 0x0c])
        {
            for (int i = 0; i < 2_000; i++) prefixes[(network << 24 | (uint)random.Next(1 << 13) << 11, 21)] = 3 + random.Next(RouteRuns.MaxValue - 3);
        }
        for (int i = 0; i < 40; i++) prefixes[((uint)random.Next(0x20, 0x60) << 24 | (uint)random.Next(1 << 24), 32)] = random.Next(1_000);
        RoutePrefix[] all = [.. prefixes.Select(prefix => new RoutePrefix(IpBits.Mapped(prefix.Key.Item1), prefix.Key.Item2, prefix.Value))];
        var table = new RouteTable(all);
        uint[] destinations = new uint[200];
        foreach (ref uint destination in destinations.AsSpan())
        {
            uint first = random.Next(100) == 0 ? (uint)random.Next(0x20, 0x60) : random.Next(2) == 0 ? 0x0au : 0x0cu;
            destination = first << 24 | (uint)random.Next(1 << 24);
        }
        int[] values = new int[destinations.Length];
        table.LookupV4(destinations, values);
        for (int i = 0; i < destinations.Length; i++) Assert.Equal(Scan(all, IpBits.Mapped(destinations[i])), values[i]);
    });

    [Fact]
    public void Lookup_EmptyTable_FindsNoRoute()
    {
        var table = new RouteTable([]);
        Assert.Equal(RouteTable.NoRoute, table.LookupV4(0));
        Assert.Equal(RouteTable.NoRoute, table.LookupV6(UInt128.MaxValue));
    }

    [Fact]
    public void Lookup_DefaultRoutes_KeepTheFamiliesApart()
    {
        var table = new RouteTable([new(IpBits.Mapped(0), 0, 4), new(0, 0, 6)]);
        Assert.Equal(4, table.LookupV4(uint.MaxValue));
        Assert.Equal(6, table.LookupV6(UInt128.MaxValue));
    }

    [Fact]
    public void Lookup_HostRoutesAtTheEdges_AreExact()
    {
        var table = new RouteTable([new(IpBits.Mapped(uint.MaxValue), 32, 1), new(UInt128.MaxValue, 128, 2), new(UInt128.MaxValue - 1, 127, 3)]);
        Assert.Equal(1, table.LookupV4(uint.MaxValue));
        Assert.Equal(RouteTable.NoRoute, table.LookupV4(uint.MaxValue - 1));
        Assert.Equal(2, table.LookupV6(UInt128.MaxValue));
        Assert.Equal(3, table.LookupV6(UInt128.MaxValue - 1));
        Assert.Equal(RouteTable.NoRoute, table.LookupV6(UInt128.MaxValue - 2));
    }

    [Fact]
    public void Constructor_SamePrefixTwice_Throws() =>
        Assert.Throws<ArgumentException>(() => new RouteTable([new(IpBits.Mapped(0x0a000000), 8, 0), new(IpBits.Mapped(0x0a000000), 8, 1)]));

    [Theory]
    [InlineData(8, 0)]
    [InlineData(33, 0)]
    [InlineData(-1, 0)]
    [InlineData(24, -1)]
    [InlineData(24, RouteRuns.MaxValue + 1)]
    public void Constructor_PrefixOutOfRange_Throws(int length, int value) =>
        Assert.ThrowsAny<ArgumentException>(() => new RouteTable([new(IpBits.Mapped(0x0a0b0c00), length, value)]));

    [Fact]
    public void With_RandomInsertsAndRemovals_EqualsLinearScan() => Seeded.Check(40, random =>
    {
        RoutePrefix[] pool = RandomPrefixes(random, random.Next(1, 1500));
        var oracle = new Dictionary<(UInt128, int), RoutePrefix>();
        var table = new RouteTable([]);
        for (int step = 0; step < 3_000; step++)
        {
            RoutePrefix prefix = pool[random.Next(pool.Length)] with { Value = step };
            // Grows, then shrinks, so that regions are split and put together again.
            if (random.Next(10) < (step < 1_500 ? 8 : 1))
            {
                table = table.With(prefix);
                oracle[(prefix.Address, prefix.Length)] = prefix;
            }
            else
            {
                table = table.Without(prefix.Address, prefix.Length);
                oracle.Remove((prefix.Address, prefix.Length));
            }
            if (step % 100 != 0) continue;
            Assert.Equal(oracle.Count, table.Count);
            RoutePrefix[] now = [.. oracle.Values];
            for (int i = 0; i < 100; i++)
            {
                UInt128 address = Near(random, now);
                Assert.Equal(Scan(now, address), IpBits.IsMapped(address) ? table.LookupV4((uint)address) : table.LookupV6(address));
            }
        }
    });

    [Fact]
    public void Lookup_WhileAnotherThreadPublishes_SeesOneWholeTable() => Seeded.Check(1, random =>
    {
        // Each table maps everything below 10.0.0.0/8 to its own generation, by 1,024 prefixes: a torn one would show two.
        RouteTable[] tables = [.. Enumerable.Range(0, 8).Select(_ => new RouteTable([]))];
        for (int generation = 0; generation < tables.Length; generation++)
        {
            for (uint i = 0; i < 1_024; i++) tables[generation] = tables[generation].With(new RoutePrefix(IpBits.Mapped(0x0a000000 | i << 14), 18, generation));
        }
        RouteTable published = tables[0];
        bool stop = false;
        int seed = random.Next();
        Task<long>[] readers = [.. Enumerable.Range(0, 2).Select(reader => Task.Factory.StartNew(() =>
        {
            var own = new Random(seed + reader);
            uint[] destinations = new uint[64];
            int[] values = new int[64];
            long torn = 0;
            while (!Volatile.Read(ref stop))
            {
                RouteTable seen = Volatile.Read(ref published);
                int generation = seen.LookupV4(0x0a000000);
                foreach (ref uint destination in destinations.AsSpan()) destination = 0x0a000000 | (uint)own.Next(1 << 24);
                foreach (uint destination in destinations) torn += seen.LookupV4(destination) == generation ? 0 : 1;
                seen.LookupV4(destinations, values);
                foreach (int value in values) torn += value == generation ? 0 : 1;
            }
            return torn;
        }, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
        for (int step = 0; step < 20_000; step++)
        {
            RouteTable next = tables[random.Next(tables.Length)];
            // A prefix beside them, added and taken away, rebuilds the way to them.
            uint beside = 0x0b000000 | (uint)random.Next(256) << 8;
            next = next.With(new RoutePrefix(IpBits.Mapped(beside), 24, 99)).Without(IpBits.Mapped(beside), 24);
            Volatile.Write(ref published, next);
        }
        Volatile.Write(ref stop, true);
        Assert.All(Task.WhenAll(readers).WaitAsync(TimeSpan.FromSeconds(60)).GetAwaiter().GetResult(), torn => Assert.Equal(0, torn));
    });

    [Fact]
    public void With_UnderReaders_LeavesTheTableThatTheyHaveAsItWas() => Seeded.Check(1, random =>
    {
        // All prefixes lead to one generation. Each next one is made of the table that readers have, prefix by prefix: were anything changed in its
        // place, they would see two generations. A block, arrays of slots, runs and ranges, and the same of IPv6.
        RoutePrefix[] prefixes =
        [
            .. Enumerable.Range(0, 1_024).Select(i => new RoutePrefix(IpBits.Mapped(0x0a000000 | (uint)i << 14), 18, 0)),
            .. Enumerable.Range(0, 256).Select(i => new RoutePrefix(IpBits.Mapped(0x0b000000 | (uint)i), 32, 0)),
            .. Enumerable.Range(0, 32).Select(i => new RoutePrefix(IpBits.Mapped(0x0c000000 | (uint)i << 8), 32, 0)),
            .. Enumerable.Range(0, 64).Select(i => new RoutePrefix(Dense6 | (UInt128)(uint)i << 80, 48, 0)),
            .. Enumerable.Range(0, 16).Select(i => new RoutePrefix(Dense6 | UInt128.One << 100 | (UInt128)(uint)i << 20, 120, 0)),
        ];
        RoutePrefix[] v4 = [.. prefixes.Where(prefix => IpBits.IsMapped(prefix.Address))];
        RoutePrefix[] v6 = [.. prefixes.Where(prefix => !IpBits.IsMapped(prefix.Address))];
        var published = new RouteTable(prefixes);
        bool stop = false;
        int seed = random.Next();
        Task<long>[] readers = [.. Enumerable.Range(0, 2).Select(reader => Task.Factory.StartNew(() =>
        {
            var own = new Random(seed + reader);
            uint[] fours = new uint[64];
            UInt128[] sixes = new UInt128[64];
            int[] values = new int[64];
            long torn = 0;
            while (!Volatile.Read(ref stop))
            {
                RouteTable seen = Volatile.Read(ref published);
                int generation = seen.LookupV4(0x0a000000);
                foreach (ref uint destination in fours.AsSpan()) destination = (uint)v4[own.Next(v4.Length)].Address;
                foreach (ref UInt128 destination in sixes.AsSpan()) destination = v6[own.Next(v6.Length)].Address;
                seen.LookupV4(fours, values);
                foreach (int value in values) torn += value == generation ? 0 : 1;
                seen.LookupV6(sixes, values);
                foreach (int value in values) torn += value == generation ? 0 : 1;
                foreach (uint destination in fours) torn += seen.LookupV4(destination) == generation ? 0 : 1;
                foreach (UInt128 destination in sixes) torn += seen.LookupV6(destination) == generation ? 0 : 1;
            }
            return torn;
        }, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
        for (int generation = 1; generation <= 30; generation++)
        {
            RouteTable next = published;
            random.Shuffle(prefixes);
            foreach (RoutePrefix prefix in prefixes)
            {
                if (random.Next(4) == 0) next = next.Without(prefix.Address, prefix.Length);
                next = next.With(prefix with { Value = generation });
            }
            Volatile.Write(ref published, next);
        }
        Volatile.Write(ref stop, true);
        Assert.All(Task.WhenAll(readers).WaitAsync(TimeSpan.FromSeconds(60)).GetAwaiter().GetResult(), torn => Assert.Equal(0, torn));
    });

    [Fact]
    public void With_PrefixOutOfRange_Throws() =>
        Assert.ThrowsAny<ArgumentException>(() => new RouteTable([]).With(new RoutePrefix(IpBits.Mapped(0x0a0b0c00), 8, 0)));

    private static int Lookup(RouteTable table, UInt128 address) => IpBits.IsMapped(address) ? table.LookupV4((uint)address) : table.LookupV6(address);

    /// <summary>What an oracle by prefix length says, in other prefixes that say the same.</summary>
    private static IEnumerable<RoutePrefix> Prefixes(int[][] oracle, UInt128 network, int depth, int host)
    {
        for (int length = 0; length < oracle.Length; length++)
        {
            for (int slot = 0; slot < 1 << 16; slot += 1 << (16 - length))
            {
                if (oracle[length][slot] != RouteTable.NoRoute)
                    yield return new RoutePrefix(network | (UInt128)(uint)slot << host, depth + length, oracle[length][slot]);
            }
        }
    }

    private static RoutePrefix[] RandomPrefixes(Random random, int count)
    {
        var prefixes = new Dictionary<(UInt128, int), RoutePrefix>();
        for (int i = 0; i < count; i++)
        {
            bool isIpv4 = random.Next(2) == 0;
            int bits = isIpv4 ? 32 : 128, length = random.Next(bits + 1);
            UInt128 mask = length == 0 ? 0 : UInt128.MaxValue << (bits - length);
            UInt128 address = Near(random, [.. prefixes.Values], isIpv4) & mask;
            if (isIpv4) address = IpBits.Mapped((uint)address);
            else if (IpBits.IsMapped(address)) continue;
            prefixes[(address, length)] = new RoutePrefix(address, length, i);
        }
        return [.. prefixes.Values];
    }

    /// <summary>An address that often shares many leading bits with a prefix, so that lookups go deep.</summary>
    private static UInt128 Near(Random random, RoutePrefix[] prefixes, bool? isIpv4 = null)
    {
        bool v4 = isIpv4 ?? random.Next(2) == 0;
        UInt128 noise = new UInt128((ulong)random.NextInt64(long.MinValue, long.MaxValue), (ulong)random.NextInt64(long.MinValue, long.MaxValue)) >> random.Next(128);
        RoutePrefix[] family = [.. prefixes.Where(prefix => IpBits.IsMapped(prefix.Address) == v4)];
        if (family.Length > 0 && random.Next(4) > 0) noise ^= family[random.Next(family.Length)].Address;
        return v4 ? IpBits.Mapped((uint)noise) : noise;
    }

    private static int Scan(RoutePrefix[] prefixes, UInt128 address)
    {
        bool isIpv4 = IpBits.IsMapped(address);
        RoutePrefix? best = null;
        foreach (RoutePrefix prefix in prefixes)
        {
            int host = (isIpv4 ? 32 : 128) - prefix.Length;
            bool covers = IpBits.IsMapped(prefix.Address) == isIpv4 && (host == 128 || (prefix.Address ^ address) >> host == 0);
            if (covers && (best is null || prefix.Length > best.Value.Length)) best = prefix;
        }
        return best?.Value ?? RouteTable.NoRoute;
    }
}
