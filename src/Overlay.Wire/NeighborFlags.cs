namespace Overlay.Wire;

/// <summary>Flags of a neighbour advertisement (RFC 4861, 4.4), as they lie in the first byte behind the checksum.</summary>
[Flags]
public enum NeighborFlags : byte
{
    None = 0,

    /// <summary>The target should override an existing cache entry.</summary>
    Override = 0x20,

    /// <summary>The answer to a solicitation.</summary>
    Solicited = 0x40,

    /// <summary>The sender is a router.</summary>
    Router = 0x80,
}
