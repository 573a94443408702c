namespace Overlay.Wire;

/// <summary>Takes TCP options apart (RFC 9293, 3.2): no-operations are skipped, the end of the list ends it.</summary>
public ref struct TcpOptionReader
{
    public const byte EndOfList = 0;
    public const byte NoOperation = 1;
    public const byte MaximumSegmentSize = 2;
    public const byte WindowScale = 3;
    public const byte SackPermitted = 4;
    public const byte Sack = 5;
    public const byte Timestamps = 8;

    private ReadOnlySpan<byte> _rest;

    /// <param name="options">See <see cref="TcpHeader.Options"/>.</param>
    public TcpOptionReader(ReadOnlySpan<byte> options) => _rest = options;

    /// <summary>False at the end of the list, and at an option that claims less than its two bytes or more than there are.</summary>
    /// <param name="kind">The option's kind.</param>
    /// <param name="value">What follows kind and length.</param>
    public bool TryRead(out byte kind, out ReadOnlySpan<byte> value)
    {
        kind = EndOfList;
        value = default;
        while (_rest.Length > 0 && _rest[0] == NoOperation) _rest = _rest[1..];
        if (_rest.Length < 2 || _rest[0] == EndOfList) return false;
        int length = _rest[1];
        if (length < 2 || length > _rest.Length) return false;
        kind = _rest[0];
        value = _rest[2..length];
        _rest = _rest[length..];
        return true;
    }
}
