using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Buffers;

/// <summary>
/// Page-aligned memory that never moves, so that the kernel can be handed addresses inside it. One worker thread owns it and
/// is the only one to write it: a buffer last touched by another core costs several times as much to fill.
/// </summary>
public sealed class PacketMemory
{
    private const int PageSize = 4096;

    private readonly byte[] _array;
    private readonly int _start;

    /// <param name="length">Usable bytes, rounded up to whole pages.</param>
    public PacketMemory(int length)
    {
        Length = (length + PageSize - 1) & ~(PageSize - 1);
        _array = GC.AllocateArray<byte>(Length + PageSize, pinned: true);
        nint address = Marshal.UnsafeAddrOfPinnedArrayElement(_array, 0);
        _start = (int)(((address + PageSize - 1) & ~(nint)(PageSize - 1)) - address);
        Address = address + _start;
    }

    public int Length { get; }

    /// <summary>Address of the first usable byte; a multiple of 4096.</summary>
    public nint Address { get; }

    public Span<byte> Span(int offset, int length) => _array.AsSpan(_start + offset, length);

    /// <summary>The bytes a slice stands for. Throws when it lies outside this memory.</summary>
    public Span<byte> Span(BufferSlice slice) => Span(checked((int)(slice.Address - Address)), (int)slice.Length);

    /// <summary>True for a slice that lies inside this memory.</summary>
    public bool Contains(BufferSlice slice) => slice.Address >= Address && slice.Address + slice.Length <= Address + Length;

    public BufferSlice Slice(int offset, int length) => new(Address + offset, length);
}
