using System.Runtime.InteropServices;

namespace Overlay.SystemTests.Traffic;

/// <summary>
/// An endless sequence of bytes in which no stretch of eight aligned bytes occurs twice, so that loss, repetition, reordering and a flipped
/// bit all show. Each stream has a sequence of its own.
/// </summary>
internal sealed class Pattern(ulong stream)
{
    private readonly ulong _seed = stream * 0x9e37_79b9_7f4a_7c15;
    private byte[] _expected = [];

    /// <summary>Writes the sequence from an offset on.</summary>
    /// <param name="buffer">Written whole.</param>
    /// <param name="offset">Position of its first byte, a multiple of 8.</param>
    public void Fill(Span<byte> buffer, long offset)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(offset % 8, 0);
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(buffer);
        ulong index = (ulong)(offset / 8);
        for (int i = 0; i < words.Length; i++) words[i] = Word(index + (ulong)i);
        Span<byte> rest = buffer[(words.Length * 8)..];
        if (rest.IsEmpty) return;
        ulong last = Word(index + (ulong)words.Length);
        MemoryMarshal.AsBytes(new ReadOnlySpan<ulong>(in last))[..rest.Length].CopyTo(rest);
    }

    /// <summary>Compares received bytes with the sequence.</summary>
    /// <param name="data">What was received.</param>
    /// <param name="offset">Position of its first byte; any.</param>
    /// <exception cref="InvalidDataException">A byte differs.</exception>
    public void Verify(ReadOnlySpan<byte> data, long offset)
    {
        int skew = (int)(offset % 8);
        int length = data.Length + skew;
        if (_expected.Length < length) _expected = new byte[length];
        Span<byte> expected = _expected.AsSpan(0, length);
        Fill(expected, offset - skew);
        int same = expected[skew..].CommonPrefixLength(data);
        if (same < data.Length) throw new InvalidDataException($"byte {offset + same} of the stream differs from what was sent");
    }

    // One-to-one from index to word: an odd factor and a shifted exclusive-or are.
    private ulong Word(ulong index)
    {
        ulong word = (index * 0xd6e8_feb8_6659_fd93) ^ _seed;
        return word ^ (word >> 32);
    }
}
