using System.Buffers.Binary;

namespace Overlay.Wire.Capture;

/// <summary>Forward-only reading of a capture file in its byte order, with the position for messages.</summary>
internal sealed class CaptureInput(Stream stream)
{
    private readonly byte[] _skipped = new byte[4096];

    /// <summary>Bytes consumed.</summary>
    public long Position { get; private set; }

    /// <summary>Byte order of the numbers that follow.</summary>
    public bool IsLittleEndian { get; set; }

    /// <summary>Fills the destination.</summary>
    /// <returns>False if the file ended before its first byte.</returns>
    /// <exception cref="CaptureFormatException">The file ended inside.</exception>
    public bool TryRead(Span<byte> destination, string what)
    {
        int read = stream.ReadAtLeast(destination, destination.Length, throwOnEndOfStream: false);
        Position += read;
        if (read == destination.Length) return true;
        return read == 0 ? false : throw EndedInside(what);
    }

    /// <summary>Fills the destination.</summary>
    /// <exception cref="CaptureFormatException">The file ended before or inside.</exception>
    public void Read(Span<byte> destination, string what)
    {
        if (!TryRead(destination, what)) throw EndedInside(what);
    }

    public void Skip(long count, string what)
    {
        for (long rest = count; rest > 0;)
        {
            Span<byte> part = _skipped.AsSpan(0, (int)Math.Min(rest, _skipped.Length));
            Read(part, what);
            rest -= part.Length;
        }
    }

    public uint ReadUInt32(string what)
    {
        Span<byte> octets = stackalloc byte[4];
        Read(octets, what);
        return UInt32(octets);
    }

    public ushort UInt16(ReadOnlySpan<byte> octets) =>
        IsLittleEndian ? BinaryPrimitives.ReadUInt16LittleEndian(octets) : BinaryPrimitives.ReadUInt16BigEndian(octets);

    public uint UInt32(ReadOnlySpan<byte> octets) =>
        IsLittleEndian ? BinaryPrimitives.ReadUInt32LittleEndian(octets) : BinaryPrimitives.ReadUInt32BigEndian(octets);

    private CaptureFormatException EndedInside(string what) => new($"the file ends after {Position} bytes, inside {what}");
}
