using System.Buffers.Binary;

namespace Overlay.Testing.Captures;

/// <summary>Bytes of a file in one byte order.</summary>
internal sealed class NumberWriter(bool isBigEndian)
{
    private readonly List<byte> _bytes = [];

    public byte[] ToArray() => [.. _bytes];

    public NumberWriter UInt16(int value)
    {
        Span<byte> octets = stackalloc byte[2];
        if (isBigEndian) BinaryPrimitives.WriteUInt16BigEndian(octets, (ushort)value);
        else BinaryPrimitives.WriteUInt16LittleEndian(octets, (ushort)value);
        _bytes.AddRange(octets);
        return this;
    }

    public NumberWriter UInt32(long value)
    {
        Span<byte> octets = stackalloc byte[4];
        if (isBigEndian) BinaryPrimitives.WriteUInt32BigEndian(octets, (uint)value);
        else BinaryPrimitives.WriteUInt32LittleEndian(octets, (uint)value);
        _bytes.AddRange(octets);
        return this;
    }

    public NumberWriter Bytes(ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public NumberWriter PadTo4()
    {
        while (_bytes.Count % 4 != 0) _bytes.Add(0);
        return this;
    }
}
