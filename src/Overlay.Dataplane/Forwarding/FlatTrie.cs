using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// A bitmap trie in one array (Asai and Ohara, "Poptrie", SIGCOMM 2015): six bits a level, children and runs of equal leaves counted by
/// bitmap. The leading bits that all its prefixes share are compared once, in front of it.
/// </summary>
/// <remarks>
/// Words: the mask of the shared bits; the shared bits; nodes of three words each, which are the bitmap of slots with a child, that of slots
/// where a run of leaves starts, and the indexes of the first child and the first leaf; then the leaves, two a word.
/// </remarks>
internal static class FlatTrie
{
    private const int Stride = 6;
    private const int Slots = 1 << Stride;
    private const int HeaderWords = 2;
    private const int NodeWords = 3;
    private const int MostShared = 60;

    /// <param name="trie">From <see cref="Build"/>.</param>
    /// <param name="high">First 64 bits of the address behind the trie's depth.</param>
    /// <param name="low">The bits that follow.</param>
    /// <param name="best">What is returned where nothing in the trie matches.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Lookup(ulong[] trie, ulong high, ulong low, int best)
    {
        ref ulong words = ref MemoryMarshal.GetArrayDataReference(trie);
        ulong mask = words;
        if (((high ^ Unsafe.Add(ref words, 1)) & mask) != 0) return best;
        int shared = BitOperations.PopCount(mask);
        high = high << shared | low >> 1 >> (63 - shared);
        low <<= shared;
        ref ulong node = ref Unsafe.Add(ref words, HeaderWords);
        while (true)
        {
            int slot = (int)(high >> (64 - Stride));
            ulong through = (2UL << slot) - 1;
            ulong children = node;
            ulong indexes = Unsafe.Add(ref node, 2);
            if ((children >> slot & 1) == 0)
            {
                int leaf = (int)(uint)indexes + BitOperations.PopCount(Unsafe.Add(ref node, 1) & through) - 1;
                int value = Unsafe.Add(ref Unsafe.As<ulong, int>(ref words), leaf);
                return value >= 0 ? value : best;
            }
            int child = (int)(indexes >> 32) + (NodeWords * (BitOperations.PopCount(children & through) - 1));
            node = ref Unsafe.Add(ref words, child);
            high = high << Stride | low >> (64 - Stride);
            low <<= Stride;
        }
    }

    /// <param name="sorted">At least one, longer than <paramref name="depth"/> and equal in their first bits.</param>
    /// <param name="depth">Bits on the way to the trie.</param>
    public static ulong[] Build(ReadOnlySpan<RouteEntry> sorted, int depth)
    {
        int shared = SharedBits(sorted, depth);
        ulong mask = shared == 0 ? 0 : ulong.MaxValue << (64 - shared);
        var nodes = new List<ulong> { mask, sorted[0].From(depth) & mask, 0, 0, 0 };
        var leaves = new List<int>();
        Fill(nodes, leaves, HeaderWords, sorted, depth + shared, RouteTable.NoRoute);

        ulong[] words = new ulong[nodes.Count + ((leaves.Count + 1) / 2)];
        CollectionsMarshal.AsSpan(nodes).CopyTo(words);
        CollectionsMarshal.AsSpan(leaves).CopyTo(MemoryMarshal.Cast<ulong, int>(words.AsSpan(nodes.Count)));
        for (int node = HeaderWords; node < nodes.Count; node += NodeWords) words[node + 2] += 2 * (uint)nodes.Count;
        return words;
    }

    /// <summary>Leading bits in which all agree, fewer than any has left, so that each still ends inside the trie.</summary>
    private static int SharedBits(ReadOnlySpan<RouteEntry> sorted, int depth)
    {
        int shared = Math.Min(BitOperations.LeadingZeroCount(sorted[0].From(depth) ^ sorted[^1].From(depth)), MostShared);
        foreach (RouteEntry entry in sorted) shared = Math.Min(shared, entry.Length - depth - 1);
        return shared;
    }

    /// <param name="nodes">The words so far; leaf indexes still count from the first leaf.</param>
    /// <param name="leaves">The leaves so far.</param>
    /// <param name="node">Index of the node to fill.</param>
    /// <param name="entries">All that are longer than <paramref name="depth"/> bits inside the node.</param>
    /// <param name="depth">Bits on the way to the node.</param>
    /// <param name="inherited">Value of the longest prefix that covers the whole node.</param>
    private static void Fill(List<ulong> nodes, List<int> leaves, int node, ReadOnlySpan<RouteEntry> entries, int depth, int inherited)
    {
        Span<int> values = stackalloc int[Slots];
        Span<int> starts = stackalloc int[Slots];
        Span<int> counts = stackalloc int[Slots];
        values.Fill(inherited);
        counts.Clear();
        ulong children = Spread(entries, depth, values, starts, counts);

        int firstChild = nodes.Count;
        int firstLeaf = leaves.Count;
        ulong leafStarts = 0;
        int? run = null;
        for (int slot = 0; slot < Slots; slot++)
        {
            if ((children >> slot & 1) != 0 || values[slot] == run) continue;
            run = values[slot];
            leafStarts |= 1UL << slot;
            leaves.Add(values[slot]);
        }
        nodes[node] = children;
        nodes[node + 1] = leafStarts;
        nodes[node + 2] = (ulong)(uint)firstChild << 32 | (uint)firstLeaf;
        for (int i = NodeWords * BitOperations.PopCount(children); i > 0; i--) nodes.Add(0);
        int child = firstChild;
        for (int slot = 0; slot < Slots; slot++)
        {
            if ((children >> slot & 1) == 0) continue;
            Fill(nodes, leaves, child, entries.Slice(starts[slot], counts[slot]), depth + Stride, values[slot]);
            child += NodeWords;
        }
    }

    /// <summary>Writes each prefix that ends in this node over its slots, and groups the longer ones by slot.</summary>
    /// <returns>The slots that have longer ones.</returns>
    private static ulong Spread(ReadOnlySpan<RouteEntry> entries, int depth, Span<int> values, Span<int> starts, Span<int> counts)
    {
        ulong children = 0;
        for (int i = 0; i < entries.Length; i++)
        {
            int slot = (int)(entries[i].From(depth) >> (64 - Stride));
            if (entries[i].Length <= depth + Stride)
            {
                values.Slice(slot, 1 << (depth + Stride - entries[i].Length)).Fill(entries[i].Value);
                continue;
            }
            if (counts[slot]++ == 0) starts[slot] = i;
            children |= 1UL << slot;
        }
        return children;
    }
}
