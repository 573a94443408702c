using System.Buffers.Binary;

namespace Overlay.Cli.Conformance;

/// <summary>The datagrams of a conformance run: a header, then a pattern that follows from it.</summary>
internal static class Datagram
{
    /// <summary>Bytes of the header, and the least a datagram has.</summary>
    public const int HeaderLength = 20;

    /// <summary>What the server sends back as it came.</summary>
    public const byte Echo = 1;

    /// <summary>What the server counts.</summary>
    public const byte Counted = 2;

    private const uint Magic = 0x6f76_6366;

    /// <param name="datagram">At least <see cref="HeaderLength"/> bytes; all are written.</param>
    /// <param name="kind"><see cref="Echo"/> or <see cref="Counted"/>.</param>
    /// <param name="token">Of the series.</param>
    /// <param name="number">In the series.</param>
    public static void Write(Span<byte> datagram, byte kind, ulong token, int number)
    {
        BinaryPrimitives.WriteUInt32BigEndian(datagram, Magic);
        datagram[4] = kind;
        datagram[5..8].Clear();
        BinaryPrimitives.WriteUInt64BigEndian(datagram[8..], token);
        BinaryPrimitives.WriteInt32BigEndian(datagram[16..], number);
        uint state = (uint)token ^ ((uint)number * 0x9e37_79b9);
        for (int i = HeaderLength; i < datagram.Length; i++)
        {
            state = (state * 1_664_525) + 1_013_904_223;
            datagram[i] = (byte)(state >> 24);
        }
    }

    public static bool TryRead(ReadOnlySpan<byte> datagram, out byte kind, out ulong token, out int number)
    {
        (kind, token, number) = (0, 0, 0);
        if (datagram.Length < HeaderLength || BinaryPrimitives.ReadUInt32BigEndian(datagram) != Magic) return false;
        kind = datagram[4];
        token = BinaryPrimitives.ReadUInt64BigEndian(datagram[8..]);
        number = BinaryPrimitives.ReadInt32BigEndian(datagram[16..]);
        return true;
    }
}
