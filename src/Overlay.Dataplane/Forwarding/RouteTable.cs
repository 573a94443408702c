namespace Overlay.Dataplane.Forwarding;

/// <summary>A destination prefix and the value it maps to.</summary>
/// <param name="Address">Host-order bits; an IPv4 prefix is IPv4-mapped. Bits beyond the length are zero.</param>
/// <param name="Length">Prefix length within its family: 0–32 or 0–128.</param>
/// <param name="Value">What a lookup returns; not negative.</param>
public readonly record struct RoutePrefix(UInt128 Address, int Length, int Value);

/// <summary>Longest-prefix match over IPv4 and IPv6 destinations, immutable.</summary>
public sealed class RouteTable
{
    /// <summary>What a lookup returns where no prefix matches.</summary>
    public const int NoRoute = -1;

    public RouteTable(IEnumerable<RoutePrefix> prefixes) => throw new NotImplementedException();

    public int LookupV4(uint destination) => throw new NotImplementedException();

    public int LookupV6(UInt128 destination) => throw new NotImplementedException();
}
