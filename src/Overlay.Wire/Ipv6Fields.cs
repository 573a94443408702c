namespace Overlay.Wire;

/// <summary>What <see cref="Ipv6Packet.WriteHeader"/> writes, in host order.</summary>
public readonly record struct Ipv6Fields
{
    /// <summary>DSCP (6 bits) and ECN (2 bits).</summary>
    public byte TrafficClass { get; init; }

    /// <summary>20 bits.</summary>
    public uint FlowLabel { get; init; }

    /// <summary>Bytes after the fixed header, extension headers included.</summary>
    public required int PayloadLength { get; init; }

    /// <summary>Protocol of the first header after the fixed one.</summary>
    public required byte NextHeader { get; init; }

    public required byte HopLimit { get; init; }

    public required UInt128 Source { get; init; }

    public required UInt128 Destination { get; init; }
}
