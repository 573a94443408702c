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

    private const int KeyBits = 32;
    private const int Block = 8;
    private const int BlockWords = 2 * Block;
    private const int NoBound = int.MaxValue;

    /// <param name="ranges">From <see cref="Build"/>.</param>
    /// <param name="high">First 64 bits of the address behind the depth of the ranges.</param>
    /// <param name="low">The 64 bits that follow.</param>
    /// <param name="best">What is returned where no prefix matches.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Lookup(int[] ranges, ulong high, ulong low, int best)
    {
        ref int words = ref MemoryMarshal.GetArrayDataReference(ranges);
        int value = Find(ref words, high);
        while (value < RouteTable.NoRoute)
        {
            high = high << KeyBits | low >> KeyBits;
            low <<= KeyBits;
            value = Find(ref Unsafe.Add(ref words, ~value), high);
        }
        return value >= 0 ? value : best;
    }

    /// <param name="address">The key is at its top.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Find(ref int words, ulong address)
    {
        Vector256<int> key = Vector256.Create(Signed((uint)(address >> KeyBits)));
        ref int block = ref Unsafe.Add(ref words, Block + (BlockWords * BoundsBelow(ref words, key)));
        return Unsafe.Add(ref block, Block + BoundsBelow(ref block, key));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int BoundsBelow(ref int eight, Vector256<int> key) =>
        BitOperations.PopCount(Vector256.GreaterThan(key, Vector256.LoadUnsafe(ref eight)).ExtractMostSignificantBits());

    private static int Signed(uint key) => (int)(key ^ 1U << (KeyBits - 1));

    /// <param name="sorted">At most <see cref="MostPrefixes"/>, longer than <paramref name="depth"/> and equal in their first bits.</param>
    /// <param name="depth">Bits on the way to the ranges.</param>
    public static int[] Build(ReadOnlySpan<RouteEntry> sorted, int depth)
    {
        var words = new List<int>();
        Append(words, sorted, depth, RouteTable.NoRoute);
        return [.. words];
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
