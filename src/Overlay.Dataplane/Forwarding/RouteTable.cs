namespace Overlay.Dataplane.Forwarding;

/// <summary>A destination prefix and the value it maps to.</summary>
/// <param name="Address">Host-order bits; an IPv4 prefix is IPv4-mapped. Bits beyond the length are zero.</param>
/// <param name="Length">Prefix length within its family: 0–32 or 0–128.</param>
/// <param name="Value">What a lookup returns; not negative.</param>
public readonly record struct RoutePrefix(UInt128 Address, int Length, int Value);

/// <summary>
/// Longest-prefix match over IPv4 and IPv6 destinations, immutable. One bitmap trie a family, six bits a level, in flat arrays: a node
/// takes 24 bytes and equal neighbouring leaves are stored once. A lookup reads at most 6 nodes for IPv4, 22 for IPv6: as many as the
/// longest prefix on its way needs, less those for the leading bits that all prefixes share.
/// </summary>
public sealed class RouteTable
{
    /// <summary>What a lookup returns where no prefix matches.</summary>
    public const int NoRoute = -1;

    private readonly RouteTrie _v4, _v6;

    /// <exception cref="ArgumentException">A length, a value or trailing bits are out of range, or a prefix occurs twice.</exception>
    public RouteTable(IEnumerable<RoutePrefix> prefixes)
    {
        ILookup<bool, RoutePrefix> byFamily = prefixes.ToLookup(prefix => Wire.IpBits.IsMapped(prefix.Address));
        _v4 = new RouteTrie(byFamily[true], addressBits: 32);
        _v6 = new RouteTrie(byFamily[false], addressBits: 128);
    }

    /// <param name="destination">Host-order bits.</param>
    public int LookupV4(uint destination) => _v4.Lookup((ulong)destination << 32, 0);

    /// <param name="destination">Host-order bits.</param>
    public int LookupV6(UInt128 destination) => _v6.Lookup((ulong)(destination >> 64), (ulong)destination);
}
