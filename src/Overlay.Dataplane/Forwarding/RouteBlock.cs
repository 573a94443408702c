using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// The last sixteen bits of an address in one piece of an array, so that a lookup reads no reference but the one that led here. Immutable: a
/// change makes a copy.
/// </summary>
/// <remarks>
/// Words: for each of the first eight bits' values that of the longest prefix which ends in them, and where the runs of those that go on
/// begin; then the runs, the first of them with no route, for where none goes on.
/// </remarks>
internal static class RouteBlock
{
    private const int HeaderWords = 2 * RouteRuns.Addresses;

    /// <param name="words">With the block.</param>
    /// <param name="offset">Where it begins.</param>
    /// <param name="address">The last sixteen bits.</param>
    /// <param name="best">What is returned where no prefix matches.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Lookup(int[] words, uint offset, uint address, int best)
    {
        ref int block = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(words), offset);
        ref int entry = ref Unsafe.Add(ref block, address >> 8 << 1);
        int longer = RouteRuns.Lookup(ref Unsafe.Add(ref block, Unsafe.Add(ref entry, 1)), address & 0xff);
        return RouteTable.Longest(longer, RouteTable.Longest(entry, best));
    }

    /// <param name="values">Of prefixes that end in the first eight bits.</param>
    /// <param name="children">By those bits: all that go on end within the next eight.</param>
    /// <param name="pool">Where the block is put.</param>
    public static RouteSlot Build(ReadOnlySpan<int> values, ReadOnlySpan<RouteRegion?> children, RouteBlockPool pool)
    {
        int[] rented = ArrayPool<int>.Shared.Rent(HeaderWords + ((RouteRuns.Addresses + 1) * RouteRuns.MostWords));
        Span<int> words = rented;
        Span<int> none = stackalloc int[RouteRuns.Addresses];
        none.Fill(RouteTable.NoRoute);
        int end = HeaderWords + RouteRuns.Write(none, words[HeaderWords..]);
        for (int i = 0; i < RouteRuns.Addresses; i++)
        {
            words[2 * i] = values[i];
            words[(2 * i) + 1] = children[i] is null ? HeaderWords : end;
            if (children[i] is { } child) end += child.WriteRuns(words[end..]);
        }
        (int[] into, int offset) = pool.Take(end);
        words[..end].CopyTo(into.AsSpan(offset));
        ArrayPool<int>.Shared.Return(rented);
        return new RouteSlot(into, RouteStep.Block, offset);
    }

    /// <summary>With other values for the first eight bits.</summary>
    public static RouteSlot WithValues(in RouteSlot block, ReadOnlySpan<int> values)
    {
        int[] changed = Words(block).ToArray();
        for (int i = 0; i < RouteRuns.Addresses; i++) changed[2 * i] = values[i];
        return new RouteSlot(changed, RouteStep.Block);
    }

    /// <summary>With another child in one place.</summary>
    /// <param name="child">Null for none.</param>
    public static RouteSlot WithChild(in RouteSlot block, int index, RouteRegion? child)
    {
        ReadOnlySpan<int> words = Words(block);
        Span<int> runs = stackalloc int[RouteRuns.MostWords];
        runs = child is null ? [] : runs[..child.WriteRuns(runs)];
        int old = words[(2 * index) + 1];
        int replaced = old == HeaderWords ? 0 : RouteRuns.Length(words[old..]);
        int at = replaced == 0 ? words.Length : old;

        int[] changed = new int[words.Length - replaced + runs.Length];
        words[..at].CopyTo(changed);
        runs.CopyTo(changed.AsSpan(at));
        words[(at + replaced)..].CopyTo(changed.AsSpan(at + runs.Length));
        for (int i = 0; i < RouteRuns.Addresses; i++)
        {
            ref int start = ref changed[(2 * i) + 1];
            if (start > at) start += runs.Length - replaced;
        }
        changed[(2 * index) + 1] = child is null ? HeaderWords : at;
        return new RouteSlot(changed, RouteStep.Block);
    }

    private static ReadOnlySpan<int> Words(in RouteSlot block)
    {
        ReadOnlySpan<int> words = ((int[])block.Next!).AsSpan((int)block.Offset);
        // The runs that begin last end the block.
        int last = HeaderWords;
        for (int i = 0; i < RouteRuns.Addresses; i++) last = Math.Max(last, words[(2 * i) + 1]);
        return words[..(last + RouteRuns.Length(words[last..]))];
    }
}

/// <summary>
/// Lays the blocks of a whole table one behind the other in a large array, so that lookups touch as few pages as they can. What a change
/// replaces stays there until the table is built anew, which is less than one table's worth.
/// </summary>
/// <param name="prefixes">Of the table.</param>
internal sealed class RouteBlockPool(int prefixes)
{
    /// <summary>Fewer are no matter.</summary>
    private const int Many = 16_384;

    /// <summary>Words a prefix, in quarters, that a table like the Internet's needs.</summary>
    private const int QuarterWordsAPrefix = 11;

    /// <summary>For changes: each block gets an array of its own.</summary>
    public static readonly RouteBlockPool None = new(0);

    private int[] _words = [];
    private int _used;

    /// <returns>Zeroed words, at an even offset.</returns>
    public (int[] Words, int Offset) Take(int count)
    {
        if (prefixes < Many) return (new int[count], 0);
        if (_used + count > _words.Length)
        {
            int share = (int)((long)prefixes * QuarterWordsAPrefix / 4);
            _words = new int[Math.Max(count, _words.Length == 0 ? share : share / 8)];
            _used = 0;
        }
        int offset = _used;
        _used += count;
        return (_words, offset);
    }
}
