using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Wire;

namespace Overlay.Dataplane.Forwarding;

/// <summary>A destination prefix and the value it maps to.</summary>
/// <param name="Address">Host-order bits; an IPv4 prefix is IPv4-mapped. Bits beyond the length are zero.</param>
/// <param name="Length">Prefix length within its family: 0–32 or 0–128.</param>
/// <param name="Value">What a lookup returns; not negative.</param>
public readonly record struct RoutePrefix(UInt128 Address, int Length, int Value);

/// <summary>
/// Longest-prefix match over IPv4 and IPv6 destinations, immutable: a change gives another table that shares all but the way to the changed
/// prefix, and readers of the old one are not disturbed.
/// </summary>
/// <remarks>
/// Where prefixes are many, an array takes eight bits of the address (<see cref="RouteRegion"/>), and where none goes on beyond sixteen bits
/// more, one array takes them all (<see cref="RouteBlock"/>); where prefixes are few, ranges of addresses take the rest (<see cref="RouteRanges"/>).
/// So an IPv4 lookup in a table like the Internet's reads one of a few thousand bytes, and two places of some megabytes. DIR-24-8 (Gupta, Lin
/// and McKeown, INFOCOM 1998) reads one place of 64 MB, which costs a change of a short prefix a copy of as much. No step has a branch that
/// depends on the address but for the kind of what comes next, so that a processor works on several independent lookups at a time; on more of
/// them where several are asked for at once, step by step.
/// </remarks>
public sealed class RouteTable
{
    /// <summary>What a lookup returns where no prefix matches.</summary>
    public const int NoRoute = -1;

    private readonly Family _v4, _v6;

    /// <exception cref="ArgumentException">A length, a value or trailing bits are out of range, or a prefix occurs twice.</exception>
    public RouteTable(IEnumerable<RoutePrefix> prefixes)
    {
        var v4 = new List<RouteEntry>();
        var v6 = new List<RouteEntry>();
        foreach (RoutePrefix prefix in prefixes) (IpBits.IsMapped(prefix.Address) ? v4 : v6).Add(RouteEntry.Of(prefix));
        _v4 = new Family(v4);
        _v6 = new Family(v6);
    }

    private RouteTable(Family v4, Family v6) => (_v4, _v6) = (v4, v6);

    /// <summary>Prefixes of both families.</summary>
    public int Count => _v4.Count + _v6.Count;

    /// <summary>A table with this prefix added, or its value changed. Takes some microseconds, with a million prefixes too.</summary>
    /// <exception cref="ArgumentException">The length, the value or trailing bits are out of range.</exception>
    public RouteTable With(RoutePrefix prefix)
    {
        RouteEntry entry = RouteEntry.Of(prefix);
        return IpBits.IsMapped(prefix.Address) ? new RouteTable(_v4.With(entry), _v6) : new RouteTable(_v4, _v6.With(entry));
    }

    /// <summary>A table without this prefix; one alike where it has none such.</summary>
    /// <param name="address">As in <see cref="RoutePrefix.Address"/>.</param>
    /// <param name="length">Prefix length within its family.</param>
    public RouteTable Without(UInt128 address, int length)
    {
        RouteEntry entry = RouteEntry.Of(new RoutePrefix(address, length, 0));
        return IpBits.IsMapped(address) ? new RouteTable(_v4.Without(entry), _v6) : new RouteTable(_v4, _v6.Without(entry));
    }

    /// <param name="destination">Host-order bits.</param>
    public int LookupV4(uint destination) => _v4.LookupV4(destination);

    /// <param name="destination">Host-order bits.</param>
    public int LookupV6(UInt128 destination) => _v6.LookupV6((ulong)(destination >> 64), (ulong)destination);

    /// <summary>Several lookups, which wait for memory together.</summary>
    /// <param name="destinations">Host-order bits.</param>
    /// <param name="values">Gets what <see cref="LookupV4(uint)"/> returns for each.</param>
    public void LookupV4(ReadOnlySpan<uint> destinations, Span<int> values)
    {
        values = values[..destinations.Length];
        Walks walks = default;
        for (int start = 0; start < destinations.Length; start += RouteWalk.Together)
        {
            int count = Math.Min(RouteWalk.Together, destinations.Length - start);
            if (_v4.TryLookupInBlocks(destinations.Slice(start, count), values[start..])) continue;
            for (int i = 0; i < count; i++) walks[i].Begin(_v4.Root, (ulong)destinations[start + i] << 32, 0);
            Finish(walks[..count], values[start..]);
        }
    }

    /// <summary>As <see cref="LookupV4(ReadOnlySpan{uint}, Span{int})"/>.</summary>
    public void LookupV6(ReadOnlySpan<UInt128> destinations, Span<int> values)
    {
        values = values[..destinations.Length];
        Walks walks = default;
        for (int start = 0; start < destinations.Length; start += RouteWalk.Together)
        {
            int count = Math.Min(RouteWalk.Together, destinations.Length - start);
            for (int i = 0; i < count; i++) walks[i].Begin(_v6.Root, (ulong)(destinations[start + i] >> 64), (ulong)destinations[start + i]);
            Finish(walks[..count], values[start..]);
        }
    }

    private static void Finish(Span<RouteWalk> walks, Span<int> values)
    {
        foreach (ref RouteWalk walk in walks) walk.Find();
        for (int i = 0; i < walks.Length; i++) values[i] = walks[i].End();
    }

    /// <summary>The prefix whose value a lookup of this destination returns, for explanations; null where none matches.</summary>
    /// <param name="destination">As in <see cref="RoutePrefix.Address"/>.</param>
    public RoutePrefix? Match(UInt128 destination)
    {
        if (!IpBits.IsMapped(destination)) return _v6.Match(destination) is { } v6 ? v6.ToPrefix(isIpv4: false) : null;
        return _v4.Match(destination << 96) is { } v4 ? v4.ToPrefix(isIpv4: true) : null;
    }

    /// <summary>The first unless it is <see cref="NoRoute"/>, without a branch, which would often be mispredicted.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int Longest(int value, int best) => (value & ~(value >> 31)) | (best & (value >> 31));

    [InlineArray(RouteWalk.Together)]
    private struct Walks
    {
        private RouteWalk _first;
    }

    /// <summary>The routes of one address family. The default route is kept apart: every other one lies below the root region.</summary>
    private sealed class Family
    {
        /// <summary>Its value is that of the default route.</summary>
        private readonly RouteSlot _root;

        private readonly RouteRegion? _region;

        public Family(List<RouteEntry> entries)
        {
            Span<RouteEntry> sorted = CollectionsMarshal.AsSpan(entries);
            RouteEntry.Sort(sorted);
            for (int i = 1; i < sorted.Length; i++)
            {
                if (sorted[i].CompareTo(sorted[i - 1]) == 0) throw new ArgumentException($"prefix {sorted[i]} occurs twice", nameof(entries));
            }
            bool hasDefault = sorted.Length > 0 && sorted[0].Length == 0;
            _region = RouteRegion.Build(hasDefault ? sorted[1..] : sorted, depth: 0, new RouteRangePool(sorted.Length));
            _root = RootOf(_region, hasDefault ? sorted[0].Value : NoRoute);
        }

        private Family(RouteRegion? region, int byDefault)
        {
            _region = region;
            _root = RootOf(region, byDefault);
        }

        public ref readonly RouteSlot Root => ref _root;

        public int Count => (_region?.Count ?? 0) + (_root.Value == NoRoute ? 0 : 1);

        public Family With(RouteEntry entry)
        {
            if (entry.Length == 0) return new Family(_region, entry.Value);
            return new Family(_region?.With(entry) ?? RouteRegion.Build([entry], depth: 0, RouteRangePool.None), _root.Value);
        }

        public Family Without(RouteEntry entry)
        {
            if (entry.Length == 0) return new Family(_region, NoRoute);
            return new Family(_region?.Without(entry), _root.Value);
        }

        /// <param name="destination">At the top of 128 bits.</param>
        public RouteEntry? Match(UInt128 destination)
        {
            RouteEntry? byDefault = _root.Value == NoRoute ? null : new RouteEntry(0, 0, 0, _root.Value);
            return _region?.Match((ulong)(destination >> 64), (ulong)destination) ?? byDefault;
        }

        /// <remarks>As <see cref="LookupV6"/>; it is the fewer instructions a lookup has that the more of them wait for memory at a time.</remarks>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public int LookupV4(uint destination)
        {
            ref readonly RouteSlot slot = ref _root;
            int best = slot.Value;
            while (slot.Step == RouteStep.Slots)
            {
                slot = ref At(Unsafe.As<RouteSlot[]>(slot.Next!), destination >> 24);
                best = Longest(slot.Value, best);
                destination <<= 8;
            }
            if (slot.Step == RouteStep.Block) return Longest(RouteBlock.Lookup(Unsafe.As<byte[]>(slot.Next!), destination >> 16), best);
            if (slot.Step == RouteStep.End) return best;
            return slot.Step == RouteStep.Runs
                ? Longest(RunsAt(slot, destination >> 24), best)
                : Longest(RouteRanges.Lookup(Unsafe.As<int[]>(slot.Next!), slot.Offset, (ulong)destination << 32, 0), best);
        }

        /// <summary>
        /// Several lookups where one array of slots leads to a block for each, as in a table like the Internet's: in fewer instructions than
        /// <see cref="RouteWalk"/> has.
        /// </summary>
        /// <returns>False where it does not; nothing was looked up then.</returns>
        public bool TryLookupInBlocks(ReadOnlySpan<uint> destinations, Span<int> values)
        {
            if (_root.Step != RouteStep.Slots) return false;
            RouteSlot[] slots = Unsafe.As<RouteSlot[]>(_root.Next!);
            for (int i = 0; i < destinations.Length; i++)
            {
                ref readonly RouteSlot slot = ref At(slots, destinations[i] >> 24);
                if (slot.Step != RouteStep.Block) return false;
                values[i] = (int)RouteBlock.Find(Unsafe.As<byte[]>(slot.Next!), destinations[i] >> 8 & ushort.MaxValue);
            }
            for (int i = 0; i < destinations.Length; i++)
            {
                ref readonly RouteSlot slot = ref At(slots, destinations[i] >> 24);
                int value = RouteRuns.ValueAt(ref MemoryMarshal.GetArrayDataReference(Unsafe.As<byte[]>(slot.Next!)), (uint)values[i]);
                values[i] = Longest(value, Longest(slot.Value, _root.Value));
            }
            return true;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public int LookupV6(ulong high, ulong low)
        {
            ref readonly RouteSlot slot = ref _root;
            int best = slot.Value, taken = 0;
            ulong next = high;
            while (slot.Step == RouteStep.Slots)
            {
                slot = ref At(Unsafe.As<RouteSlot[]>(slot.Next!), (uint)(next >> 56));
                best = Longest(slot.Value, best);
                next <<= 8;
                taken += 8;
                if (taken == 64) next = low;
            }
            if (slot.Step == RouteStep.Ranges)
            {
                if (taken >= 64) low = 0;
                return Longest(RouteRanges.Lookup(Unsafe.As<int[]>(slot.Next!), slot.Offset, next | low >> 1 >> (63 - taken), low << taken), best);
            }
            if (slot.Step == RouteStep.Block) return Longest(RouteBlock.Lookup(Unsafe.As<byte[]>(slot.Next!), (uint)(next >> 48)), best);
            return slot.Step == RouteStep.End ? best : Longest(RunsAt(slot, (uint)(next >> 56)), best);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static int RunsAt(in RouteSlot slot, uint address) =>
            RouteRuns.Lookup(ref MemoryMarshal.GetArrayDataReference(Unsafe.As<byte[]>(slot.Next!)), address, RouteRuns.PieceRecords);

        private static RouteSlot RootOf(RouteRegion? region, int byDefault) => (region?.Forward ?? default).WithValue(byDefault);

        /// <summary>An element of an array that has one for each value of eight bits.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static ref T At<T>(T[] slots, uint bits) => ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(slots), bits);
    }
}
