using Overlay.Dataplane.Forwarding;

namespace Overlay.Bench.Forwarding;

/// <summary>A dictionary a prefix length, longest first.</summary>
internal sealed class LengthDictionaries
{
    private readonly List<(int Host, Dictionary<UInt128, int> Values)> _lengths = [];

    public LengthDictionaries(IEnumerable<RoutePrefix> prefixes, int bits)
    {
        foreach (IGrouping<int, RoutePrefix> length in prefixes.GroupBy(prefix => prefix.Length).OrderByDescending(group => group.Key))
            _lengths.Add((bits - length.Key, length.ToDictionary(prefix => prefix.Address >> (bits - length.Key), prefix => prefix.Value)));
    }

    public int Lookup(UInt128 address)
    {
        foreach ((int host, Dictionary<UInt128, int> values) in _lengths)
        {
            if (values.TryGetValue(address >> host, out int value)) return value;
        }
        return RouteTable.NoRoute;
    }
}

/// <summary>A plain binary trie: an object a bit.</summary>
internal sealed class BinaryTrie
{
    private readonly Node _root = new();
    private readonly int _bits;

    public BinaryTrie(IEnumerable<RoutePrefix> prefixes, int bits)
    {
        _bits = bits;
        foreach (RoutePrefix prefix in prefixes)
        {
            Node node = _root;
            for (int depth = 0; depth < prefix.Length; depth++)
            {
                ref Node? next = ref Bit(prefix.Address, depth) ? ref node.One : ref node.Zero;
                node = next ??= new Node();
            }
            node.Value = prefix.Value;
        }
    }

    public int Lookup(UInt128 address)
    {
        int best = RouteTable.NoRoute;
        Node? node = _root;
        for (int depth = 0; node is not null; depth++)
        {
            if (node.Value >= 0) best = node.Value;
            if (depth == _bits) break;
            node = Bit(address, depth) ? node.One : node.Zero;
        }
        return best;
    }

    private bool Bit(UInt128 address, int depth) => (address >> (_bits - 1 - depth) & 1) != 0;

    private sealed class Node
    {
        public Node? Zero;
        public Node? One;
        public int Value = RouteTable.NoRoute;
    }
}
