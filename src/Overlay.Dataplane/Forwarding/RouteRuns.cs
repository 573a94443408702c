using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// The values for the last eight bits of an address, each run of equal ones kept once: a bit says where a run begins, and the number of bits
/// set up to an address is the number of its run, as in the leaves of a poptrie (Asai and Ohara, SIGCOMM 2015). A lookup has no branch.
/// </summary>
/// <remarks>
/// Words: 256 bits in eight of them, of which the first is always set; in a word four bytes, how many runs begin before each quarter of the
/// bits; the values of the runs.
/// </remarks>
internal static class RouteRuns
{
    /// <summary>Addresses, and most runs.</summary>
    public const int Addresses = 256;

    private const int QuarterBits = 6;
    private const int Quarters = Addresses >> QuarterBits;
    private const int CountsAt = Addresses / 8;
    private const int ValuesAt = (CountsAt + Quarters) / sizeof(int);

    /// <param name="words">With the runs.</param>
    /// <param name="offset">Where they begin.</param>
    /// <param name="address">The last eight bits.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Lookup(int[] words, uint offset, uint address)
    {
        ref int first = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(words), offset);
        uint quarter = address >> QuarterBits;
        ulong starts = Unsafe.Add(ref Unsafe.As<int, ulong>(ref first), quarter);
        uint before = Unsafe.Add(ref Unsafe.As<int, byte>(ref first), CountsAt + quarter);
        // Shifts go by the last six bits of their count: what is left are the starts up to the address.
        uint run = before + (uint)BitOperations.PopCount(starts << ~(int)address);
        return Unsafe.Add(ref first, ValuesAt - 1 + run);
    }

    /// <param name="values">One an address.</param>
    /// <param name="pool">Where the runs are put.</param>
    /// <returns>What <see cref="Lookup"/> takes.</returns>
    public static (int[] Words, int Offset) Write(ReadOnlySpan<int> values, RouteRunPool pool)
    {
        int runs = 1;
        for (int i = 1; i < Addresses; i++) runs += values[i] == values[i - 1] ? 0 : 1;
        (int[] words, int offset) = pool.Take(ValuesAt + runs);
        Span<int> own = words.AsSpan(offset, ValuesAt + runs);
        Span<ulong> starts = MemoryMarshal.Cast<int, ulong>(own[..(CountsAt / sizeof(int))]);
        Span<byte> counts = MemoryMarshal.AsBytes(own)[CountsAt..];
        int run = 0;
        for (int i = 0; i < Addresses; i++)
        {
            if (i % (1 << QuarterBits) == 0) counts[i >> QuarterBits] = (byte)run;
            if (i > 0 && values[i] == values[i - 1]) continue;
            starts[i >> QuarterBits] |= 1UL << i;
            own[ValuesAt + run++] = values[i];
        }
        return (words, offset);
    }
}

/// <summary>
/// Lays runs one behind the other, so that those of a whole table lie on as few pages as they can. An array of them lives until the last of
/// its runs is replaced; changes have pools of their own, so that no more than one table's worth is kept for nothing.
/// </summary>
internal sealed class RouteRunPool
{
    /// <summary>Of an array: less than what the garbage collector holds to be large.</summary>
    private const int MostWords = 16_384;

    private int[] _words = [];
    private int _used;

    /// <returns>Zeroed words, at an even offset.</returns>
    public (int[] Words, int Offset) Take(int count)
    {
        if (_used + count > _words.Length)
        {
            _words = new int[Math.Max(count, Math.Min(2 * _words.Length, MostWords))];
            _used = 0;
        }
        int offset = _used;
        _used += count + (count & 1);
        return (_words, offset);
    }
}
