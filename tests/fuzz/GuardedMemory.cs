using System.Runtime.InteropServices;

namespace Overlay.Fuzz;

/// <summary>Memory that ends at a page nobody may touch: a read or write one byte beyond it kills the process.</summary>
internal sealed unsafe partial class GuardedMemory : IDisposable
{
    private const int PageSize = 4096;
    private const int ProtectNone = 0;
    private const int ProtectReadWrite = 3;
    private const int MapPrivateAnonymous = 0x22;

    private readonly byte* _start;
    private readonly int _length;

    /// <param name="length">Usable bytes, rounded up to whole pages.</param>
    public GuardedMemory(int length)
    {
        _length = (length + PageSize - 1) & ~(PageSize - 1);
        nint mapped = Map(0, (nuint)(_length + PageSize), ProtectReadWrite, MapPrivateAnonymous, -1, 0);
        if (mapped == -1) throw new InvalidOperationException($"mmap: error {Marshal.GetLastSystemError()}");
        _start = (byte*)mapped;
        if (Protect(mapped + _length, PageSize, ProtectNone) != 0)
            throw new InvalidOperationException($"mprotect: error {Marshal.GetLastSystemError()}");
    }

    /// <summary>A copy whose last byte is the last one before the guard. Valid until the next call.</summary>
    public Span<byte> AtEnd(ReadOnlySpan<byte> bytes)
    {
        var copy = new Span<byte>(_start + _length - bytes.Length, bytes.Length);
        bytes.CopyTo(copy);
        return copy;
    }

    public void Dispose() => _ = Unmap((nint)_start, (nuint)(_length + PageSize));

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = false)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int descriptor, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);
}
