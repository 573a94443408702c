namespace Overlay.Dataplane.Forwarding;

/// <summary>What <see cref="RouteSlot.Next"/> is.</summary>
internal enum RouteStep
{
    /// <summary>Null: nothing longer.</summary>
    End,

    /// <summary>A <see cref="RouteSlot"/> array for eight bits more.</summary>
    Slots,

    /// <summary><see cref="RouteBlock"/> for sixteen bits more, which are the last.</summary>
    Block,

    /// <summary><see cref="RouteRuns"/> for eight bits more, which are the last.</summary>
    Runs,

    /// <summary><see cref="RouteRanges"/>.</summary>
    Ranges,
}

/// <summary>What some bits of an address lead to.</summary>
/// <param name="next">For the bits that follow, as <paramref name="step"/> says.</param>
/// <param name="step">What that is.</param>
/// <param name="offset">Where in <paramref name="next"/> it begins.</param>
internal struct RouteSlot(object? next, RouteStep step, int offset = 0)
{
    private const int StepBits = 3;

    public readonly object? Next = next;

    /// <summary>Of the longest prefix that ends in these bits; <see cref="RouteTable.NoRoute"/> where none does.</summary>
    public int Value = RouteTable.NoRoute;

    private readonly uint _where = (uint)offset << StepBits | (uint)step;

    /// <summary>Beside the reference, so that it is known before what is referred to has come from memory.</summary>
    public readonly RouteStep Step => (RouteStep)(_where & ((1 << StepBits) - 1));

    public readonly uint Offset => _where >> StepBits;
}

/// <summary>
/// All prefixes that agree in their first bits and are longer than those. Immutable; knows the prefixes themselves, which
/// <see cref="Forward"/>, that lookups read, does not.
/// </summary>
internal sealed class RouteRegion
{
    /// <summary>Address bits that an array of slots takes.</summary>
    private const int Stride = 8;

    private const int Slots = 1 << Stride;

    /// <summary>Above it a region is split.</summary>
    private const int MostTogether = RouteRanges.MostPrefixes;

    /// <summary>Below it a split region is put together again.</summary>
    private const int LeastApart = MostTogether / 2;

    private static readonly RouteSlot NoSlot = new(null, RouteStep.End);

    private readonly int _depth;

    /// <summary>Sorted: all, or those that end in the slots where the region is split.</summary>
    private readonly RouteEntry[] _entries;

    private readonly RouteRegion?[]? _children;

    private RouteSlot _forward;

    private RouteRegion(int depth, RouteEntry[] entries, RouteRegion?[]? children, in RouteSlot forward, int count)
    {
        _depth = depth;
        _entries = entries;
        _children = children;
        _forward = forward;
        Count = count;
    }

    /// <summary>
    /// What leads to the region for lookups; it depends on nothing outside the region. Where all its prefixes end within eight bits it is made
    /// when it is asked for: a block has what it says in itself.
    /// </summary>
    public RouteSlot Forward
    {
        get
        {
            if (_forward.Step != RouteStep.End) return _forward;
            int[] words = new int[RouteRuns.MostWords];
            return _forward = new RouteSlot(words[..WriteRuns(words)], RouteStep.Runs);
        }
    }

    public int Count { get; }

    /// <param name="sorted">Longer than <paramref name="depth"/> and equal in their first bits.</param>
    /// <param name="depth">Bits on the way here.</param>
    /// <param name="pool">Where blocks are put.</param>
    /// <returns>Null for no entries.</returns>
    public static RouteRegion? Build(ReadOnlySpan<RouteEntry> sorted, int depth, RouteBlockPool pool)
    {
        if (sorted.Length == 0) return null;
        if (AllEndWithin(sorted, depth + Stride)) return Last(sorted.ToArray(), depth);
        if (sorted.Length <= MostTogether) return Together(sorted.ToArray(), depth);
        var own = new List<RouteEntry>();
        var children = new RouteRegion?[Slots];
        for (int start = 0; start < sorted.Length;)
        {
            int slot = Slot(sorted[start], depth);
            int end = start;
            while (end < sorted.Length && Slot(sorted[end], depth) == slot) end++;
            // Those that end here sort before those that go on.
            for (; start < end && sorted[start].Length <= depth + Stride; start++) own.Add(sorted[start]);
            children[slot] = Build(sorted[start..end], depth + Stride, pool);
            start = end;
        }
        return Apart([.. own], children, depth, sorted.Length, pool);
    }

    /// <summary>With an entry added, or its value changed.</summary>
    public RouteRegion With(RouteEntry entry)
    {
        if (_children is null || entry.Length <= _depth + Stride)
        {
            RouteEntry[] entries = Insert(entry);
            int count = Count + entries.Length - _entries.Length;
            return _children is null ? Build(entries, _depth, RouteBlockPool.None)! : WithOwn(entries, count);
        }
        int slot = Slot(entry, _depth);
        RouteRegion? child = _children[slot];
        return WithChild(slot, child?.With(entry) ?? Build([entry], _depth + Stride, RouteBlockPool.None));
    }

    /// <summary>Without the entry of this prefix. Null where nothing is left, this same region where it had none such.</summary>
    public RouteRegion? Without(RouteEntry entry)
    {
        RouteRegion less;
        if (_children is null || entry.Length <= _depth + Stride)
        {
            int index = Array.BinarySearch(_entries, entry);
            if (index < 0) return this;
            RouteEntry[] entries = [.. _entries.AsSpan(0, index), .. _entries.AsSpan(index + 1)];
            if (_children is null) return Build(entries, _depth, RouteBlockPool.None);
            less = WithOwn(entries, Count - 1);
        }
        else
        {
            int slot = Slot(entry, _depth);
            if (_children[slot] is not { } child) return this;
            RouteRegion? next = child.Without(entry);
            if (next == child) return this;
            less = WithChild(slot, next);
        }
        if (less.Count >= LeastApart) return less;
        var all = new List<RouteEntry>(less.Count);
        less.Collect(all);
        all.Sort();
        return Build([.. all], _depth, RouteBlockPool.None);
    }

    private static int Slot(in RouteEntry entry, int depth) => (int)(entry.From(depth) >> (64 - Stride));

    private static bool AllEndWithin(ReadOnlySpan<RouteEntry> entries, int depth)
    {
        foreach (ref readonly RouteEntry entry in entries)
        {
            if (entry.Length > depth) return false;
        }
        return true;
    }

    private static RouteRegion Together(RouteEntry[] entries, int depth) =>
        new(depth, entries, null, new RouteSlot(RouteRanges.Build(entries, depth), RouteStep.Ranges), entries.Length);

    private static RouteRegion Last(RouteEntry[] entries, int depth) => new(depth, entries, null, NoSlot, entries.Length);

    private static RouteRegion Apart(RouteEntry[] own, RouteRegion?[] children, int depth, int count, RouteBlockPool pool)
    {
        Span<int> values = stackalloc int[Slots];
        Fill(values, own, depth);
        if (Array.TrueForAll(children, IsLast))
            return new RouteRegion(depth, own, children, RouteBlock.Build(values, children, pool), count);
        var slots = new RouteSlot[Slots];
        for (int slot = 0; slot < Slots; slot++) slots[slot] = (children[slot]?.Forward ?? NoSlot) with { Value = values[slot] };
        return new RouteRegion(depth, own, children, new RouteSlot(slots, RouteStep.Slots), count);
    }

    /// <summary>Nothing goes on beyond eight bits more.</summary>
    private static bool IsLast(RouteRegion? region) => region is null || (region._children is null && region._forward.Step is RouteStep.End or RouteStep.Runs);

    /// <summary>The region as runs, where all its prefixes end within eight bits.</summary>
    /// <returns>As <see cref="RouteRuns.Write"/>.</returns>
    public int WriteRuns(Span<int> words)
    {
        Span<int> values = stackalloc int[RouteRuns.Addresses];
        Fill(values, _entries, _depth);
        return RouteRuns.Write(values, words);
    }

    /// <summary>Of each value of eight bits, the value of the longest prefix that ends in them.</summary>
    private static void Fill(Span<int> values, RouteEntry[] entries, int depth)
    {
        values.Fill(RouteTable.NoRoute);
        // The longer ones come behind those that they lie in.
        foreach (ref readonly RouteEntry entry in entries.AsSpan()) Covered(values, entry, depth).Fill(entry.Value);
    }

    /// <summary>The slots, of those for eight bits, that a prefix which ends in these bits covers.</summary>
    private static Span<T> Covered<T>(Span<T> slots, in RouteEntry entry, int depth) => slots.Slice(Slot(entry, depth), 1 << (depth + Stride - entry.Length));

    /// <summary>The longest of the region's prefixes that covers a destination; null where none does.</summary>
    public RouteEntry? Match(ulong high, ulong low)
    {
        if (_children?[Slot(new RouteEntry(high, low, 0, 0), _depth)]?.Match(high, low) is { } longer) return longer;
        RouteEntry? best = null;
        foreach (RouteEntry entry in _entries)
        {
            if (entry.Covers(high, low) && !(best?.Length > entry.Length)) best = entry;
        }
        return best;
    }

    private RouteRegion WithOwn(RouteEntry[] entries, int count)
    {
        if (_forward.Step != RouteStep.Block) return Apart(entries, _children!, _depth, count, RouteBlockPool.None);
        Span<int> values = stackalloc int[Slots];
        Fill(values, entries, _depth);
        return new RouteRegion(_depth, entries, _children, RouteBlock.WithValues(_forward, values), count);
    }

    private RouteRegion WithChild(int slot, RouteRegion? child)
    {
        var children = (RouteRegion?[])_children!.Clone();
        int count = Count - (children[slot]?.Count ?? 0) + (child?.Count ?? 0);
        bool wasLast = IsLast(children[slot]);
        children[slot] = child;
        RouteSlot forward;
        if (_forward.Step == RouteStep.Block && IsLast(child))
        {
            forward = RouteBlock.WithChild(_forward, slot, child);
        }
        else if (_forward.Step == RouteStep.Slots && (wasLast || !Array.TrueForAll(children, IsLast)))
        {
            var slots = (RouteSlot[])((RouteSlot[])_forward.Next!).Clone();
            slots[slot] = (child?.Forward ?? NoSlot) with { Value = slots[slot].Value };
            forward = new RouteSlot(slots, RouteStep.Slots);
        }
        else
        {
            return Apart(_entries, children, _depth, count, RouteBlockPool.None);
        }
        return new RouteRegion(_depth, _entries, children, forward, count);
    }

    private RouteEntry[] Insert(RouteEntry entry)
    {
        int index = Array.BinarySearch(_entries, entry);
        if (index < 0) return [.. _entries.AsSpan(0, ~index), entry, .. _entries.AsSpan(~index)];
        var changed = (RouteEntry[])_entries.Clone();
        changed[index] = entry;
        return changed;
    }

    private void Collect(List<RouteEntry> into)
    {
        into.AddRange(_entries);
        foreach (RouteRegion? child in _children ?? []) child?.Collect(into);
    }
}
