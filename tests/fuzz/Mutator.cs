using System.Buffers.Binary;

namespace Overlay.Fuzz;

/// <summary>Changes well-formed bytes as an attacker would: fields, lengths, ends, pieces of other inputs.</summary>
internal sealed class Mutator(Random random)
{
    private static readonly byte[] Bytes = [0x00, 0x01, 0x04, 0x06, 0x08, 0x0f, 0x11, 0x29, 0x2c, 0x3b, 0x40, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0xc0, 0xff];
    private static readonly ushort[] Words =
        [0, 1, 7, 8, 20, 40, 0x0800, 0x86dd, 0x8100, 0x88a8, 0x6558, 0x12b5, 0x17c1, 0x1fff, 0x2000, 0x3fff, 0x7fff, 0x8000, 0xfff8, 0xffff];

    /// <summary>Bytes from the start in which most changes fall: where the headers are.</summary>
    private const int HeaderBytes = 160;

    /// <param name="bytes">Holds an input; changed in place.</param>
    /// <param name="length">Bytes of the input.</param>
    /// <param name="other">Another input, to take pieces of.</param>
    /// <returns>Bytes of the changed input, at most those of <paramref name="bytes"/>.</returns>
    public int Mutate(Span<byte> bytes, int length, ReadOnlySpan<byte> other)
    {
        for (int changes = random.Next(6); changes > 0 && length > 0; changes--)
        {
            int at = random.Next(random.Next(4) == 0 ? length : Math.Min(length, HeaderBytes));
            switch (random.Next(9))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 2:
                    bytes[at] = Bytes[random.Next(Bytes.Length)];
                    break;
                case 3 when at + 2 <= length:
                    BinaryPrimitives.WriteUInt16BigEndian(bytes[at..], Words[random.Next(Words.Length)]);
                    break;
                case 4 when at + 2 <= length:
                    ushort word = BinaryPrimitives.ReadUInt16BigEndian(bytes[at..]);
                    BinaryPrimitives.WriteUInt16BigEndian(bytes[at..], (ushort)(word + random.Next(-4, 5)));
                    break;
                case 5 when at + 2 <= length:
                    BinaryPrimitives.WriteUInt16BigEndian(bytes[at..], (ushort)(length - at + random.Next(-2, 3)));
                    break;
                case 6:
                    length = random.Next(length + 1);
                    break;
                case 7 when !other.IsEmpty:
                    ReadOnlySpan<byte> piece = other[random.Next(other.Length)..];
                    piece = piece[..Math.Min(piece.Length, length - at)];
                    piece.CopyTo(bytes[at..]);
                    break;
                case 8:
                    int grown = Math.Min(length + random.Next(1, 64), bytes.Length);
                    bytes[at..length].CopyTo(bytes[(at + grown - length)..]);
                    length = grown;
                    break;
            }
        }
        return length;
    }
}
