using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// The values for the last bits of an address, each run of equal ones kept once: a bit says where a run begins, and the number of bits set up
/// to an address is the number of its run, as in the leaves of a poptrie (Asai and Ohara, SIGCOMM 2015). A lookup has no branch, and reads two
/// places: the bits with their count, and the value.
/// </summary>
/// <remarks>
/// Bytes, little-endian: for every 32 addresses a record of eight, the bits of where runs begin and the number of runs before; then the values
/// of the runs, three bytes each. A run begins at every <see cref="Piece"/> addresses, so that these can be changed for themselves.
/// </remarks>
internal static class RouteRuns
{
    /// <summary>Addresses of a piece, and its most runs.</summary>
    public const int Piece = 256;

    /// <summary>Records of a piece.</summary>
    public const int PieceRecords = Piece >> RecordBits;

    /// <summary>Bytes of a record.</summary>
    public const int RecordBytes = sizeof(ulong);

    /// <summary>Bytes of a value.</summary>
    public const int ValueBytes = 3;

    /// <summary>What is written behind the last value.</summary>
    public const int SlackBytes = sizeof(int) - ValueBytes;

    /// <summary>Equals no value.</summary>
    public const int NoValue = int.MinValue;

    /// <summary>Largest value.</summary>
    public const int MaxValue = (1 << ((8 * ValueBytes) - 1)) - 1;

    private const int RecordBits = 5;
    private const int CountShift = 32;

    /// <param name="first">The first record.</param>
    /// <param name="address">The last bits.</param>
    /// <param name="records">One for every 32 addresses.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Lookup(ref byte first, uint address, int records) => ValueAt(ref first, Find(ref first, address, records));

    /// <summary>The first half of <see cref="Lookup"/>.</summary>
    /// <returns>For <see cref="ValueAt"/>.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Find(ref byte first, uint address, int records)
    {
        ulong record = Unsafe.As<byte, ulong>(ref Unsafe.Add(ref first, address >> RecordBits << 3));
        // Shifts go by the last five bits of their count: what is left are the starts up to the address.
        uint run = (uint)(record >> CountShift) + (uint)BitOperations.PopCount((uint)record << ~(int)address);
        // The value is read with the byte before it, which the shift takes away again.
        return (uint)((records * RecordBytes) - ValueBytes - 1) + (run * ValueBytes);
    }

    /// <summary>The second half of <see cref="Lookup"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int ValueAt(ref byte first, uint place) => Unsafe.ReadUnaligned<int>(ref Unsafe.Add(ref first, place)) >> 8;

    /// <param name="values"><see cref="NoValue"/>, then those of a piece, one an address.</param>
    /// <param name="before">Runs before the piece.</param>
    /// <param name="records">Gets <see cref="PieceRecords"/>.</param>
    /// <param name="runs">Gets the values of the runs: room for <see cref="Piece"/>, and <see cref="SlackBytes"/>.</param>
    /// <returns>Runs of the piece.</returns>
    public static int Write(ReadOnlySpan<int> values, int before, Span<ulong> records, Span<byte> runs)
    {
        ref int first = ref MemoryMarshal.GetReference(values[..(Piece + 1)]);
        int run = 0;
        for (int i = 0; i < Piece; i += 1 << RecordBits)
        {
            uint starts = 0;
            for (int j = 0; j < 1 << RecordBits; j += Vector256<int>.Count)
            {
                ref int previous = ref Unsafe.Add(ref first, i + j);
                Vector256<int> equal = Vector256.Equals(Vector256.LoadUnsafe(ref previous), Vector256.LoadUnsafe(ref previous, 1));
                starts |= (~equal.ExtractMostSignificantBits() & byte.MaxValue) << j;
            }
            records[i >> RecordBits] = (ulong)(uint)(before + run) << CountShift | starts;
            for (; starts != 0; starts &= starts - 1)
                MemoryMarshal.Write(runs[(ValueBytes * run++)..], values[i + BitOperations.TrailingZeroCount(starts) + 1]);
        }
        return run;
    }

    /// <param name="values">As in <see cref="Write"/>.</param>
    /// <returns>A piece for itself.</returns>
    public static byte[] OfPiece(ReadOnlySpan<int> values)
    {
        Span<ulong> records = stackalloc ulong[PieceRecords];
        Span<byte> runs = stackalloc byte[(Piece * ValueBytes) + SlackBytes];
        int count = Write(values, 0, records, runs);
        return [.. MemoryMarshal.AsBytes(records), .. runs[..(count * ValueBytes)]];
    }

    /// <summary>Runs before a record.</summary>
    public static int Before(ulong record) => (int)(record >> CountShift);

    /// <summary>A record with so many more runs before it.</summary>
    public static ulong Moved(ulong record, int runs) => record + ((ulong)(long)runs << CountShift);
}
