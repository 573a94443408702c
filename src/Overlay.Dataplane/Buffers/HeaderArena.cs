namespace Overlay.Dataplane.Buffers;

/// <summary>Memory for headers that have no room in front of their payload. Taken piece by piece, given back all at once.</summary>
public sealed class HeaderArena(int length)
{
    private const int Alignment = 16;

    private readonly PacketMemory _memory = new(length);
    private int _next;

    /// <summary>Where the pieces lie.</summary>
    public PacketMemory Memory => _memory;

    /// <summary>True when <paramref name="count"/> pieces of <paramref name="length"/> bytes are free.</summary>
    public bool Fits(int count, int length) => (long)count * Aligned(length) <= _memory.Length - _next;

    /// <summary>Takes a piece; the caller has asked <see cref="Fits"/>. It keeps its bytes until <see cref="Clear"/>.</summary>
    public Span<byte> Take(int length, out BufferSlice slice)
    {
        Span<byte> piece = _memory.Span(_next, length);
        slice = _memory.Slice(_next, length);
        _next += Aligned(length);
        return piece;
    }

    /// <summary>Makes all memory free. The slices handed out must have been sent or given up.</summary>
    public void Clear() => _next = 0;

    private static int Aligned(int length) => (length + Alignment - 1) & ~(Alignment - 1);
}
