using System.Numerics;

namespace Overlay.Dataplane.Forwarding;

/// <summary>Builds the flat trie of one address family (Asai and Ohara, "Poptrie", SIGCOMM 2015): leaves pushed down, children and leaves counted by bitmap.</summary>
internal static class RouteTrie
{
    /// <summary>Address bits a level consumes.</summary>
    public const int Stride = 6;

    private const int Slots = 1 << Stride;

    /// <summary>Builds the arrays in time linear in prefixes and levels, after sorting.</summary>
    public static (Node[] Nodes, int[] Leaves) Build(IEnumerable<RoutePrefix> prefixes, int addressBits)
    {
        Entry[] entries = prefixes.Select(prefix => Entry.Of(prefix, addressBits)).Order().ToArray();
        for (int i = 1; i < entries.Length; i++)
        {
            if (entries[i].CompareTo(entries[i - 1]) == 0) throw new ArgumentException($"prefix {entries[i]} occurs twice", nameof(prefixes));
        }
        var builder = new Builder();
        builder.Nodes.Add(default);
        builder.Fill(0, entries, depth: 0, RouteTable.NoRoute);
        return ([.. builder.Nodes], [.. builder.Leaves]);
    }

    /// <summary>64 slots: those with a child node, and the others in runs of one leaf value.</summary>
    internal struct Node
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
