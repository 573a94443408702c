using System.Runtime.CompilerServices;

namespace Overlay.Dataplane.Forwarding;

/// <summary>A destination prefix and the value it maps to.</summary>
/// <param name="Address">Host-order bits; an IPv4 prefix is IPv4-mapped. Bits beyond the length are zero.</param>
/// <param name="Length">Prefix length within its family: 0–32 or 0–128.</param>
/// <param name="Value">What a lookup returns; not negative.</param>
public readonly record struct RoutePrefix(UInt128 Address, int Length, int Value);

/// <summary>
/// Longest-prefix match over IPv4 and IPv6 destinations, immutable. One bitmap trie a family, six bits a level, in flat arrays: a node
/// takes 24 bytes and equal neighbouring leaves are stored once. A lookup reads at most 6 nodes for IPv4, 22 for IPv6, as many as the
/// longest prefix on its way needs.
/// </summary>
public sealed class RouteTable
{
    /// <summary>What a lookup returns where no prefix matches.</summary>
    public const int NoRoute = -1;

    private readonly RouteTrie.Node[] _nodesV4, _nodesV6;
    private readonly int[] _leavesV4, _leavesV6;

    /// <exception cref="ArgumentException">A length, a value or trailing bits are out of range, or a prefix occurs twice.</exception>
    public RouteTable(IEnumerable<RoutePrefix> prefixes)
    {
        ILookup<bool, RoutePrefix> byFamily = prefixes.ToLookup(prefix => Wire.IpBits.IsMapped(prefix.Address));
        (_nodesV4, _leavesV4) = RouteTrie.Build(byFamily[true], addressBits: 32);
        (_nodesV6, _leavesV6) = RouteTrie.Build(byFamily[false], addressBits: 128);
    }

    /// <param name="destination">Host-order bits.</param>
    public int LookupV4(uint destination) => Lookup(_nodesV4, _leavesV4, (ulong)destination << 32, 0);

    /// <param name="destination">Host-order bits.</param>
    public int LookupV6(UInt128 destination) => Lookup(_nodesV6, _leavesV6, (ulong)(destination >> 64), (ulong)destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Lookup(RouteTrie.Node[] nodes, int[] leaves, ulong high, ulong low)
    {
        ref readonly RouteTrie.Node node = ref nodes[0];
        while (true)
        {
            int slot = (int)(high >> (64 - RouteTrie.Stride));
            if (!node.HasChild(slot)) return leaves[node.LeafIndex(slot)];
            node = ref nodes[node.ChildIndex(slot)];
            high = high << RouteTrie.Stride | low >> (64 - RouteTrie.Stride);
            low <<= RouteTrie.Stride;
        }
    }
}
