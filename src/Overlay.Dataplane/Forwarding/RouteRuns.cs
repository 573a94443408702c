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

    /// <summary>Most words.</summary>
    public const int MostWords = ValuesAt + Addresses + 1;

    private const int QuarterBits = 6;
    private const int Quarters = Addresses >> QuarterBits;
    private const int CountsAt = Addresses / 8;
    private const int ValuesAt = (CountsAt + Quarters) / sizeof(int);

    /// <param name="first">The first word.</param>
    /// <param name="address">The last eight bits.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Lookup(ref int first, uint address)
    {
        uint quarter = address >> QuarterBits;
        ulong starts = Unsafe.Add(ref Unsafe.As<int, ulong>(ref first), quarter);
        uint before = Unsafe.Add(ref Unsafe.As<int, byte>(ref first), CountsAt + quarter);
        // Shifts go by the last six bits of their count: what is left are the starts up to the address.
        uint run = before + (uint)BitOperations.PopCount(starts << ~(int)address);
        return Unsafe.Add(ref first, ValuesAt - 1 + run);
    }

    /// <param name="values">One an address.</param>
    /// <param name="words">Gets the runs; <see cref="MostWords"/> are enough.</param>
    /// <returns>Words that were written, an even number.</returns>
    public static int Write(ReadOnlySpan<int> values, Span<int> words)
    {
        words[..(ValuesAt + 1)].Clear();
        Span<ulong> starts = MemoryMarshal.Cast<int, ulong>(words[..(CountsAt / sizeof(int))]);
        Span<byte> counts = MemoryMarshal.AsBytes(words).Slice(CountsAt, Quarters);
        int run = 0;
        for (int i = 0; i < Addresses; i++)
        {
            if (i % (1 << QuarterBits) == 0) counts[i >> QuarterBits] = (byte)run;
            if (i > 0 && values[i] == values[i - 1]) continue;
            starts[i >> QuarterBits] |= 1UL << i;
            words[ValuesAt + run++] = values[i];
        }
        return Even(ValuesAt + run);
    }

    /// <summary>Words of runs that were written.</summary>
    public static int Length(ReadOnlySpan<int> words)
    {
        int runs = 0;
        foreach (int bits in words[..(CountsAt / sizeof(int))]) runs += BitOperations.PopCount((uint)bits);
        return Even(ValuesAt + runs);
    }

    private static int Even(int count) => count + (count & 1);
}
