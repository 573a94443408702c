using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// <see cref="RouteRuns"/> for the last sixteen bits of an address in one array: a piece for each value of the first eight of them, with the
/// values of the prefixes that end there filled in where none goes on. Immutable: a change makes a copy.
/// </summary>
internal static class RouteBlock
{
    /// <summary>Of prefixes; with fewer the records would take more room than what they say.</summary>
    public const int Fewest = 512;

    private const int Pieces = 256;
    private const int Records = Pieces * RouteRuns.PieceRecords;
    private const int RecordsEnd = Records * RouteRuns.RecordBytes;

    /// <param name="block">From <see cref="Build"/> or <see cref="With"/>.</param>
    /// <param name="address">The last sixteen bits.</param>
    /// <returns><see cref="RouteTable.NoRoute"/> where no prefix matches.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Lookup(byte[] block, uint address) => RouteRuns.Lookup(ref MemoryMarshal.GetArrayDataReference(block), address, Records);

    /// <summary>As <see cref="RouteRuns.Find"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Find(byte[] block, uint address) => RouteRuns.Find(ref MemoryMarshal.GetArrayDataReference(block), address, Records);

    /// <param name="values">Of prefixes that end in the first eight bits.</param>
    /// <param name="children">By those bits: all that go on end within the next eight.</param>
    public static byte[] Build(ReadOnlySpan<int> values, ReadOnlySpan<RouteRegion?> children) => With([], 0..Pieces, values, children);

    /// <summary>With other pieces.</summary>
    /// <param name="block">Empty where all are others.</param>
    /// <param name="changed">Which.</param>
    /// <param name="values">As in <see cref="Build"/>.</param>
    /// <param name="children">As in <see cref="Build"/>.</param>
    public static byte[] With(ReadOnlySpan<byte> block, Range changed, ReadOnlySpan<int> values, ReadOnlySpan<RouteRegion?> children)
    {
        int start = changed.Start.Value, end = changed.End.Value;
        int before = RunsBefore(block, start), behind = RunsBefore(block, end);
        ReadOnlySpan<byte> last = block.IsEmpty ? [] : block[ValueAt(behind)..^RouteRuns.SlackBytes];

        byte[] rented = ArrayPool<byte>.Shared.Rent((end - start) * RouteRuns.Piece * RouteRuns.ValueBytes + RouteRuns.SlackBytes);
        Span<ulong> records = stackalloc ulong[RouteRuns.PieceRecords * (end - start)];
        Span<int> piece = stackalloc int[RouteRuns.Piece + 1];
        int runs = 0;
        for (int i = start; i < end; i++)
        {
            RouteRegion.FillPiece(piece, values[i], children[i]);
            runs += RouteRuns.Write(piece, before + runs, records.Slice((i - start) * RouteRuns.PieceRecords, RouteRuns.PieceRecords), rented.AsSpan(runs * RouteRuns.ValueBytes));
        }

        // Those of a whole table lie close together, in fewer pages.
        byte[] copy = GC.AllocateUninitializedArray<byte>(ValueAt(before + runs) + last.Length + RouteRuns.SlackBytes, pinned: block.IsEmpty);
        Span<ulong> copied = RecordsOf(copy);
        if (!block.IsEmpty) block[..ValueAt(before)].CopyTo(copy);
        records.CopyTo(copied[(start * RouteRuns.PieceRecords)..]);
        foreach (ref ulong record in copied[(end * RouteRuns.PieceRecords)..]) record = RouteRuns.Moved(record, before + runs - behind);
        rented.AsSpan(0, runs * RouteRuns.ValueBytes).CopyTo(copy.AsSpan(ValueAt(before)));
        last.CopyTo(copy.AsSpan(ValueAt(before + runs)));
        ArrayPool<byte>.Shared.Return(rented);
        return copy;
    }

    private static int RunsBefore(ReadOnlySpan<byte> block, int piece)
    {
        if (block.IsEmpty || piece == 0) return 0;
        return piece == Pieces
            ? (block.Length - RouteRuns.SlackBytes - RecordsEnd) / RouteRuns.ValueBytes
            : RouteRuns.Before(MemoryMarshal.Cast<byte, ulong>(block[..RecordsEnd])[piece * RouteRuns.PieceRecords]);
    }

    private static int ValueAt(int run) => RecordsEnd + (run * RouteRuns.ValueBytes);

    private static Span<ulong> RecordsOf(Span<byte> block) => MemoryMarshal.Cast<byte, ulong>(block[..RecordsEnd]);
}
