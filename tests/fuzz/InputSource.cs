namespace Overlay.Fuzz;

/// <summary>Makes mutated inputs out of a corpus. Nothing is allocated an input.</summary>
internal sealed class InputSource(Corpus corpus, Random random)
{
    private const int Room = 512;

    private readonly byte[] _buffer = new byte[64 * 1024 + Room];
    private readonly Mutator _mutator = new(random);

    /// <summary>A mutated frame. Valid until the next call.</summary>
    public ReadOnlySpan<byte> Frame()
    {
        byte[] frame = corpus.Pick(random);
        frame.CopyTo(_buffer, 0);
        int length = _mutator.Mutate(_buffer.AsSpan(0, frame.Length + Room), frame.Length, corpus.Pick(random));
        return _buffer.AsSpan(0, length);
    }

    /// <summary>Changes bytes that the caller holds.</summary>
    /// <returns>Bytes of the changed input.</returns>
    public int Mutate(Span<byte> bytes, int length) => _mutator.Mutate(bytes, length, corpus.Pick(random));

    /// <summary>A frame as it is in the corpus.</summary>
    public byte[] Sound() => corpus.Pick(random);
}
