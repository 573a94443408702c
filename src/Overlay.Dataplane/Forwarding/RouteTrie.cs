using System.Numerics;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// The flat trie of one address family (Asai and Ohara, "Poptrie", SIGCOMM 2015): leaves pushed down, children and leaves counted by bitmap.
/// The leading bits that all prefixes share are compared once, in front of it.
/// </summary>
internal sealed class RouteTrie
{
    /// <summary>Address bits a level consumes.</summary>
    private const int Stride = 6;

    private const int Slots = 1 << Stride;
    private const int MaxSharedBits = 60;

    private readonly Node[] _nodes;
    private readonly int[] _leaves;

    // The shared bits lie in the upper half of an address; what follows them starts the trie.
    private readonly ulong _shared;
    private readonly ulong _sharedMask;
    private readonly int _sharedBits;
    private readonly int _outside = RouteTable.NoRoute;

    /// <summary>Takes time linear in prefixes and levels, after sorting.</summary>
    public RouteTrie(IEnumerable<RoutePrefix> prefixes, int addressBits)
    {
        Entry[] sorted = prefixes.Select(prefix => Entry.Of(prefix, addressBits)).Order().ToArray();
        for (int i = 1; i < sorted.Length; i++)
        {
            if (sorted[i].CompareTo(sorted[i - 1]) == 0) throw new ArgumentException($"prefix {sorted[i]} occurs twice", nameof(prefixes));
        }
        ReadOnlySpan<Entry> entries = sorted;
        if (entries.Length > 0 && entries[0].Length == 0)
        {
            _outside = entries[0].Value;
            entries = entries[1..];
        }
        if (entries.Length > 0)
        {
            _sharedBits = SharedBits(entries);
            _sharedMask = ~(ulong.MaxValue >> _sharedBits);
            _shared = (ulong)(entries[0].Key >> 64) & _sharedMask;
        }
        var builder = new Builder();
        builder.Nodes.Add(default);
        builder.Fill(0, entries, _sharedBits, _outside);
        _nodes = [.. builder.Nodes];
        _leaves = [.. builder.Leaves];
    }

    /// <param name="high">First 64 bits of the address; an IPv4 address is at their top.</param>
    /// <param name="low">The 64 bits that follow.</param>
    public int Lookup(ulong high, ulong low)
    {
        if (((high ^ _shared) & _sharedMask) != 0) return _outside;
        int skipped = _sharedBits;
        if (skipped > 0)
        {
            high = high << skipped | low >> (64 - skipped);
            low <<= skipped;
        }
        ref readonly Node node = ref _nodes[0];
        while (true)
        {
            int slot = (int)(high >> (64 - Stride));
            if (!node.HasChild(slot)) return _leaves[node.LeafIndex(slot)];
            node = ref _nodes[node.ChildIndex(slot)];
            high = high << Stride | low >> (64 - Stride);
            low <<= Stride;
        }
    }

    /// <summary>Leading bits in which all prefixes agree, fewer than any prefix has, so that each still ends inside the trie.</summary>
    private static int SharedBits(ReadOnlySpan<Entry> entries)
    {
        int shared = (int)UInt128.LeadingZeroCount(entries[0].Key ^ entries[^1].Key);
        foreach (Entry entry in entries) shared = Math.Min(shared, entry.Length - 1);
        return Math.Min(shared, MaxSharedBits);
    }

    /// <summary>64 slots: those with a child node, and the others in runs of one leaf value.</summary>
    private struct Node
    {
        /// <summary>Bit s: slot s leads to a child.</summary>
        public ulong Children;

        /// <summary>Bit s: slot s starts a run of leaves of one value.</summary>
        public ulong LeafStarts;

        public int FirstChild;
        public int FirstLeaf;

        public readonly bool HasChild(int slot) => (Children >> slot & 1) != 0;

        public readonly int ChildIndex(int slot) => FirstChild + CountThrough(Children, slot) - 1;

        public readonly int LeafIndex(int slot) => FirstLeaf + CountThrough(LeafStarts, slot) - 1;

        private static int CountThrough(ulong bits, int slot) => BitOperations.PopCount(bits & ((2UL << slot) - 1));
    }

    /// <summary>A prefix with its address moved to the top of 128 bits; sorts a prefix before those inside it.</summary>
    private readonly record struct Entry(UInt128 Key, int Length, int Value) : IComparable<Entry>
    {
        public static Entry Of(RoutePrefix prefix, int addressBits)
        {
            if ((uint)prefix.Length > addressBits) throw new ArgumentException($"prefix length {prefix.Length} exceeds {addressBits}");
            ArgumentOutOfRangeException.ThrowIfNegative(prefix.Value);
            UInt128 key = prefix.Address << (128 - addressBits);
            if (prefix.Length < 128 && key << prefix.Length != 0)
                throw new ArgumentException($"{Wire.IpBits.ToAddress(prefix.Address)}/{prefix.Length} has bits beyond its length");
            return new Entry(key, prefix.Length, prefix.Value);
        }

        public int Slot(int depth) => (int)(Key << depth >> (128 - Stride));

        public int CompareTo(Entry other)
        {
            int byKey = Key.CompareTo(other.Key);
            return byKey != 0 ? byKey : Length.CompareTo(other.Length);
        }

        public override string ToString() => $"{Key:x32}/{Length}";
    }

    private sealed class Builder
    {
        public List<Node> Nodes { get; } = [];

        public List<int> Leaves { get; } = [];

        /// <param name="index">The node to fill.</param>
        /// <param name="entries">All prefixes longer than <paramref name="depth"/> bits inside the node.</param>
        /// <param name="depth">Address bits consumed on the way to the node.</param>
        /// <param name="inherited">Value of the longest prefix that covers the whole node.</param>
        public void Fill(int index, ReadOnlySpan<Entry> entries, int depth, int inherited)
        {
            Span<int> values = stackalloc int[Slots];
            Span<int> starts = stackalloc int[Slots];
            Span<int> counts = stackalloc int[Slots];
            values.Fill(inherited);
            counts.Clear();
            ulong children = Spread(entries, depth, values, starts, counts);

            var node = new Node { Children = children, FirstChild = Nodes.Count, FirstLeaf = Leaves.Count };
            int? run = null;
            for (int slot = 0; slot < Slots; slot++)
            {
                if (node.HasChild(slot) || values[slot] == run) continue;
                run = values[slot];
                node.LeafStarts |= 1UL << slot;
                Leaves.Add(values[slot]);
            }
            Nodes[index] = node;
            for (int i = BitOperations.PopCount(children); i > 0; i--) Nodes.Add(default);
            for (int slot = 0; slot < Slots; slot++)
            {
                if (node.HasChild(slot)) Fill(node.ChildIndex(slot), entries.Slice(starts[slot], counts[slot]), depth + Stride, values[slot]);
            }
        }

        /// <summary>Writes each prefix that ends in this node over its slots, and groups the longer ones by slot.</summary>
        /// <returns>The slots that have longer ones.</returns>
        private static ulong Spread(ReadOnlySpan<Entry> entries, int depth, Span<int> values, Span<int> starts, Span<int> counts)
        {
            ulong children = 0;
            for (int i = 0; i < entries.Length; i++)
            {
                Entry entry = entries[i];
                int slot = entry.Slot(depth);
                if (entry.Length <= depth + Stride)
                {
                    values.Slice(slot, 1 << (depth + Stride - entry.Length)).Fill(entry.Value);
                    continue;
                }
                if (counts[slot]++ == 0) starts[slot] = i;
                children |= 1UL << slot;
            }
            return children;
        }
    }
}
