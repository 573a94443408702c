using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// A few dozen prefixes as ranges of addresses, in one array: the last key of each range, sorted, of which eight are compared at once, twice,
/// without a branch, so that a processor works on several lookups at a time.
/// </summary>
/// <remarks>
/// Words: the greatest bound of each of the first eight blocks; then the blocks, each of eight bounds and the values of the eight ranges that
/// they end. A bound is a 32-bit key in signed order, as vector comparisons want it; unused ones are the greatest key, which none exceeds.
/// Prefixes longer than 32 bits have ranges of their own behind them, over the next 32 bits: the value of the one key that leads there is the
/// complement of their first word.
/// </remarks>
internal static class RouteRanges
{
    /// <summary>So many prefixes have at most twice as many bounds, which fit into nine blocks.</summary>
    public const int MostPrefixes = 35;

    /// <summary>Words before the first block.</summary>
    public const int HeadWords = Block;

    private const int KeyBits = 32;
    private const int Block = 8;
    private const int BlockWords = 2 * Block;
    private const int NoBound = int.MaxValue;

    /// <param name="ranges">With those of <see cref="Build"/>.</param>
    /// <param name="offset">Where they begin.</param>
    /// <param name="high">First 64 bits of the address behind the depth of the ranges.</param>
    /// <param name="low">The 64 bits that follow.</param>
    /// <returns><see cref="RouteTable.NoRoute"/> where no prefix matches.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Lookup(int[] ranges, uint offset, ulong high, ulong low) => LookupFrom(ranges, offset, FindBlock(ranges, offset, high), high, low);

    /// <summary>The first half of <see cref="Lookup"/>.</summary>
    /// <returns>For <see cref="LookupFrom"/>.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint FindBlock(int[] ranges, uint offset, ulong high) =>
        offset + BlockOf(ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(ranges), offset), Key(high));

    /// <summary>The second half of <see cref="Lookup"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int LookupFrom(int[] ranges, uint offset, uint block, ulong high, ulong low)
    {
        ref int words = ref MemoryMarshal.GetArrayDataReference(ranges);
        int value = ValueIn(ref Unsafe.Add(ref words, block), Key(high));
        while (value < RouteTable.NoRoute)
        {
            high = high << KeyBits | low >> KeyBits;
            low <<= KeyBits;
            ref int longer = ref Unsafe.Add(ref words, offset + (uint)~value);
            value = ValueIn(ref Unsafe.Add(ref longer, BlockOf(ref longer, Key(high))), Key(high));
        }
        return value;
    }

    /// <param name="address">The key is at its top.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Key(ulong address) => Vector256.Create(Signed((uint)(address >> KeyBits)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint BlockOf(ref int head, Vector256<int> key) => (uint)(HeadWords + (BlockWords * BoundsBelow(ref head, key)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int ValueIn(ref int block, Vector256<int> key) => Unsafe.Add(ref block, Block + BoundsBelow(ref block, key));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int BoundsBelow(ref int eight, Vector256<int> key) =>
        BitOperations.PopCount(Vector256.GreaterThan(key, Vector256.LoadUnsafe(ref eight)).ExtractMostSignificantBits());

    private static int Signed(uint key) => (int)(key ^ 1U << (KeyBits - 1));

    /// <param name="sorted">At most <see cref="MostPrefixes"/>, longer than <paramref name="depth"/> and equal in their first bits.</param>
    /// <param name="depth">Bits on the way to the ranges.</param>
    /// <param name="pool">Where they are put.</param>
    public static RouteSlot Build(ReadOnlySpan<RouteEntry> sorted, int depth, RouteRangePool pool)
    {
        var words = new List<int>();
        Append(words, sorted, depth, RouteTable.NoRoute);
        (int[] into, int offset) = pool.Take(words.Count);
        words.CopyTo(into, offset);
        return new RouteSlot(into, RouteStep.Ranges, offset);
    }

    /// <param name="outer">The value where none of the prefixes matches.</param>
    private static void Append(List<int> words, ReadOnlySpan<RouteEntry> sorted, int depth, int outer)
    {
        int first = words.Count;
        var sweep = new Sweep(outer, stackalloc (uint, int)[MostPrefixes]);
        var longer = new List<(Range Entries, int Outer)>();
        for (int i = 0; i < sorted.Length;)
        {
            uint key = Key(sorted[i], depth);
            sweep.CloseBefore(key);
            int length = sorted[i].Length - depth;
            if (length <= KeyBits)
            {
                sweep.Open(key, length == KeyBits ? key : key | uint.MaxValue >> length, sorted[i++].Value);
                continue;
            }
            int end = i + 1;
            while (end < sorted.Length && Key(sorted[end], depth) == key) end++;
            longer.Add((i..end, sweep.Value));
            sweep.Open(key, key, RouteTable.NoRoute - longer.Count);
            i = end;
        }
        sweep.CloseAll();

        List<(uint First, int Value)> ranges = sweep.Ranges;
        int blocks = ((ranges.Count - 1) / Block) + 1;
        CollectionsMarshal.SetCount(words, first + Block + (blocks * BlockWords));
        Span<int> own = CollectionsMarshal.AsSpan(words)[first..];
        own.Fill(NoBound);
        for (int i = 0; i < ranges.Count; i++)
        {
            int word = WordOf(i);
            own[word + Block] = ranges[i].Value;
            if (i == ranges.Count - 1) break;
            own[word] = Signed(ranges[i + 1].First - 1);
            if (i % Block == Block - 1) own[i / Block] = own[word];
        }
        for (int i = 0; i < longer.Count; i++)
        {
            int range = ranges.FindIndex(range => range.Value == RouteTable.NoRoute - 1 - i);
            words[first + WordOf(range) + Block] = ~words.Count;
            Append(words, sorted[longer[i].Entries], depth + KeyBits, longer[i].Outer);
        }
    }

    private static int WordOf(int range) => Block + (range / Block * BlockWords) + (range % Block);

    private static uint Key(in RouteEntry entry, int depth) => (uint)(entry.From(depth) >> KeyBits);

    /// <summary>Goes over prefixes in their order and keeps where the value of the longest one changes.</summary>
    private ref struct Sweep(int outer, Span<(uint Last, int Value)> open)
    {
        /// <summary>Those that cover the place where the sweep is, inside each other.</summary>
        private readonly Span<(uint Last, int Value)> _open = open;

        private int _opened;

        public List<(uint First, int Value)> Ranges { get; } = [(0, outer)];

        /// <summary>Of the longest prefix that covers the place where the sweep is.</summary>
        public readonly int Value => _opened > 0 ? _open[_opened - 1].Value : outer;

        public void Open(uint first, uint last, int value)
        {
            _open[_opened++] = (last, value);
            Change(first);
        }

        public void CloseBefore(uint key)
        {
            while (_opened > 0 && _open[_opened - 1].Last < key) Close();
        }

        public void CloseAll()
        {
            while (_opened > 0) Close();
        }

        private void Close()
        {
            uint last = _open[--_opened].Last;
            if (last != uint.MaxValue) Change(last + 1);
        }

        private readonly void Change(uint first)
        {
            if (Ranges[^1].First == first) Ranges[^1] = (first, Value);
            else if (Ranges[^1].Value != Value) Ranges.Add((first, Value));
        }
    }
}

/// <summary>
/// Lays the ranges of a whole table one behind the other in large arrays that stay in their place, each block of bounds and values in a cache
/// line of its own, so that lookups touch as few lines and pages as they can. What a change replaces stays there until the table is built anew,
/// which is less than one table's worth.
/// </summary>
/// <param name="prefixes">Of the table.</param>
internal sealed class RouteRangePool(int prefixes)
{
    /// <summary>Fewer are no matter.</summary>
    private const int Many = 16_384;

    private const int ChunkWords = 65_536;
    private const int LineBytes = 64;
    private const int LineWords = LineBytes / sizeof(int);

    /// <summary>For changes: all ranges get an array of their own.</summary>
    public static readonly RouteRangePool None = new(0);

    private int[] _words = [];
    private int _next;

    /// <returns>Words, of which the blocks behind the first ones begin at a line, and where they begin.</returns>
    public (int[] Words, int Offset) Take(int count)
    {
        if (prefixes < Many) return (new int[count], 0);
        if (_next + count > _words.Length)
        {
            _words = GC.AllocateUninitializedArray<int>(Math.Max(count + LineWords, ChunkWords), pinned: true);
            int toLine = (int)(-Marshal.UnsafeAddrOfPinnedArrayElement(_words, 0) & (LineBytes - 1)) / sizeof(int);
            _next = (toLine + LineWords - RouteRanges.HeadWords) % LineWords;
        }
        int offset = _next;
        _next += (count + LineWords - 1) / LineWords * LineWords;
        return (_words, offset);
    }
}
