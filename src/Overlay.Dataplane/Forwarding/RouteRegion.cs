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
internal readonly struct RouteSlot(object? next, RouteStep step, int offset = 0)
{
    private const int StepBits = 3;
    private const int ValueShift = 64 - (8 * RouteRuns.ValueBytes);

    public readonly object? Next = next;

    /// <summary>The value, the offset and the step: beside the reference, so that they are known before what it refers to has come from memory.</summary>
    private readonly ulong _bits = unchecked((ulong)RouteTable.NoRoute) << ValueShift | (ulong)offset << StepBits | (ulong)step;

    private RouteSlot(object? next, ulong bits) : this(next, RouteStep.End) => _bits = bits;

    /// <summary>Of the longest prefix that ends in these bits; <see cref="RouteTable.NoRoute"/> where none does.</summary>
    public int Value => (int)((long)_bits >> ValueShift);

    public RouteStep Step => (RouteStep)(_bits & ((1 << StepBits) - 1));

    public uint Offset => (uint)(_bits >> StepBits);

    public RouteSlot WithValue(int value) => new(Next, _bits & ((1UL << ValueShift) - 1) | unchecked((ulong)value) << ValueShift);
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
            Span<int> values = stackalloc int[RouteRuns.Piece + 1];
            FillPiece(values, RouteTable.NoRoute, this);
            return _forward = new RouteSlot(RouteRuns.OfPiece(values), RouteStep.Runs);
        }
    }

    public int Count { get; }

    /// <param name="sorted">Longer than <paramref name="depth"/> and equal in their first bits.</param>
    /// <param name="depth">Bits on the way here.</param>
    /// <param name="pool">Where ranges are put.</param>
    /// <returns>Null for no entries.</returns>
    public static RouteRegion? Build(ReadOnlySpan<RouteEntry> sorted, int depth, RouteRangePool pool)
    {
        if (sorted.Length == 0) return null;
        if (AllEndWithin(sorted, depth + Stride)) return Last(sorted.ToArray(), depth);
        if (sorted.Length <= MostTogether) return Together(sorted.ToArray(), depth, pool);
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
        return Apart([.. own], children, depth, sorted.Length);
    }

    /// <summary>With an entry added, or its value changed.</summary>
    public RouteRegion With(RouteEntry entry)
    {
        if (_children is null || entry.Length <= _depth + Stride)
        {
            RouteEntry[] entries = Insert(entry);
            int count = Count + entries.Length - _entries.Length;
            return _children is null ? Build(entries, _depth, RouteRangePool.None)! : WithOwn(entries, SlotsOf(entry), count);
        }
        int slot = Slot(entry, _depth);
        RouteRegion? child = _children[slot];
        return WithChild(slot, child?.With(entry) ?? Build([entry], _depth + Stride, RouteRangePool.None));
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
            if (_children is null) return Build(entries, _depth, RouteRangePool.None);
            less = WithOwn(entries, SlotsOf(entry), Count - 1);
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
        return Build([.. all], _depth, RouteRangePool.None);
    }

    private static int Slot(in RouteEntry entry, int depth) => (int)(entry.From(depth) >> (64 - Stride));

    /// <summary>Of a prefix that ends in the slots.</summary>
    private Range SlotsOf(in RouteEntry entry)
    {
        int first = Slot(entry, _depth);
        return first..(first + (1 << (_depth + Stride - entry.Length)));
    }

    private static bool AllEndWithin(ReadOnlySpan<RouteEntry> entries, int depth)
    {
        foreach (ref readonly RouteEntry entry in entries)
        {
            if (entry.Length > depth) return false;
        }
        return true;
    }

    private static RouteRegion Together(RouteEntry[] entries, int depth, RouteRangePool pool) =>
        new(depth, entries, null, RouteRanges.Build(entries, depth, pool), entries.Length);

    private static RouteRegion Last(RouteEntry[] entries, int depth) => new(depth, entries, null, NoSlot, entries.Length);

    private static RouteRegion Apart(RouteEntry[] own, RouteRegion?[] children, int depth, int count)
    {
        Span<int> values = stackalloc int[Slots];
        Fill(values, own, depth);
        if (IsDense(children, count)) return new RouteRegion(depth, own, children, Dense(RouteBlock.Build(values, children)), count);
        var slots = new RouteSlot[Slots];
        for (int slot = 0; slot < Slots; slot++) slots[slot] = (children[slot]?.Forward ?? NoSlot).WithValue(values[slot]);
        return new RouteRegion(depth, own, children, new RouteSlot(slots, RouteStep.Slots), count);
    }

    private static RouteSlot Dense(byte[] block) => new(block, RouteStep.Block);

    /// <summary>True for many prefixes, none of which goes on beyond sixteen bits.</summary>
    private static bool IsDense(RouteRegion?[] children, int count) => count >= RouteBlock.Fewest && Array.TrueForAll(children, IsLast);

    /// <summary>Nothing goes on beyond eight bits more.</summary>
    private static bool IsLast(RouteRegion? region) => region is null || (region._children is null && region._forward.Step is RouteStep.End or RouteStep.Runs);

    /// <summary>The values for eight bits, as <see cref="RouteRuns.Write"/> wants them.</summary>
    /// <param name="outer">Where none of the region's prefixes matches.</param>
    /// <param name="region">All its prefixes end within these bits; null for none.</param>
    public static void FillPiece(Span<int> values, int outer, RouteRegion? region)
    {
        values[0] = RouteRuns.NoValue;
        Span<int> addresses = values[1..];
        addresses.Fill(outer);
        if (region is not null) FillOver(addresses, region._entries, region._depth);
    }

    /// <summary>Of each value of eight bits, the value of the longest prefix that ends in them.</summary>
    private static void Fill(Span<int> values, RouteEntry[] entries, int depth)
    {
        values.Fill(RouteTable.NoRoute);
        FillOver(values, entries, depth);
    }

    private static void FillOver(Span<int> values, RouteEntry[] entries, int depth)
    {
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

    /// <param name="covered">By the prefix that was changed.</param>
    private RouteRegion WithOwn(RouteEntry[] entries, Range covered, int count)
    {
        if (_forward.Step != RouteStep.Block || !IsDense(_children!, count)) return Apart(entries, _children!, _depth, count);
        return new RouteRegion(_depth, entries, _children, Changed(entries, _children!, covered), count);
    }

    private RouteRegion WithChild(int slot, RouteRegion? child)
    {
        var children = (RouteRegion?[])_children!.Clone();
        int count = Count - (children[slot]?.Count ?? 0) + (child?.Count ?? 0);
        children[slot] = child;
        bool isDense = IsDense(children, count);
        if (isDense != (_forward.Step == RouteStep.Block)) return Apart(_entries, children, _depth, count);
        if (isDense) return new RouteRegion(_depth, _entries, children, Changed(_entries, children, slot..(slot + 1)), count);
        var slots = (RouteSlot[])((RouteSlot[])_forward.Next!).Clone();
        slots[slot] = (child?.Forward ?? NoSlot).WithValue(slots[slot].Value);
        return new RouteRegion(_depth, _entries, children, new RouteSlot(slots, RouteStep.Slots), count);
    }

    /// <summary>The block with other slots.</summary>
    private RouteSlot Changed(RouteEntry[] own, RouteRegion?[] children, Range slots)
    {
        Span<int> values = stackalloc int[Slots];
        Fill(values, own, _depth);
        return Dense(RouteBlock.With((byte[])_forward.Next!, slots, values, children));
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
