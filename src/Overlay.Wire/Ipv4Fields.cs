namespace Overlay.Wire;

/// <summary>What <see cref="Ipv4Packet.WriteHeader"/> writes, in host order; version, header length and checksum follow from it.</summary>
public readonly record struct Ipv4Fields
{
    /// <summary>DSCP (6 bits) and ECN (2 bits).</summary>
    public byte TrafficClass { get; init; }

    /// <summary>Bytes of the packet, header included.</summary>
    public required int TotalLength { get; init; }

    public ushort Identification { get; init; }

    public bool DontFragment { get; init; }

    public bool MoreFragments { get; init; }

    /// <summary>Bytes, a multiple of 8.</summary>
    public int FragmentOffset { get; init; }

    public required byte TimeToLive { get; init; }

    public required byte Protocol { get; init; }

    public required uint Source { get; init; }

    public required uint Destination { get; init; }
}
