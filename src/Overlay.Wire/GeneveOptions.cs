namespace Overlay.Wire;

/// <summary>The options of a Geneve header, for foreach. Valid as long as the header's bytes are.</summary>
public readonly ref struct GeneveOptions
{
    private readonly ReadOnlySpan<byte> _options;

    /// <param name="checkedOptions">Whole options only.</param>
    internal GeneveOptions(ReadOnlySpan<byte> checkedOptions) => _options = checkedOptions;

    /// <summary>The options as they lie in the header.</summary>
    public ReadOnlySpan<byte> Bytes => _options;

    public Enumerator GetEnumerator() => new(_options);

    public ref struct Enumerator
    {
        private ReadOnlySpan<byte> _rest;
        private GeneveOption _current;

        internal Enumerator(ReadOnlySpan<byte> options) => _rest = options;

        public readonly GeneveOption Current => _current;

        public bool MoveNext()
        {
            if (GeneveOption.TryParse(_rest, out _current) != WireStatus.Ok) return false;
            _rest = _rest[_current.Length..];
            return true;
        }
    }
}
