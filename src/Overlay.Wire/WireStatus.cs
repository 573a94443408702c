namespace Overlay.Wire;

/// <summary>Outcome of checking bytes against a header's format. Anything but <see cref="Ok"/> leaves the view unusable.</summary>
public enum WireStatus : byte
{
    Ok,

    /// <summary>Fewer bytes than the fixed header, or than a length field inside the header promises.</summary>
    Truncated,

    /// <summary>A version field names a version that this parser does not speak.</summary>
    BadVersion,

    /// <summary>A header-length field is smaller than the fixed header.</summary>
    BadHeaderLength,

    /// <summary>A total-length field contradicts the header length or the bytes at hand.</summary>
    BadLength,

    /// <summary>A field holds a value its specification forbids.</summary>
    BadField,
}
