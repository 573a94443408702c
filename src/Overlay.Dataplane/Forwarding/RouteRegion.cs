namespace Overlay.Dataplane.Forwarding;

/// <summary>What <see cref="RouteSlot.Next"/> is.</summary>
internal enum RouteStep
{
    /// <summary>Null: nothing longer.</summary>
    End,

    /// <summary>A <see cref="RouteSlot"/> array for eight bits more.</summary>
    Slots,

    /// <summary><see cref="RouteRuns"/> for eight bits more, which are the last.</summary>
    Runs,

    /// <summary><see cref="RouteRanges"/>.</summary>
    Ranges,
}

/// <summary>What some bits of an address lead to.</summary>
internal struct RouteSlot
{
    /// <summary>For the bits that follow, as <see cref="Step"/> says.</summary>
    public object? Next;

    /// <summary>Of the longest prefix that ends in these bits; <see cref="RouteTable.NoRoute"/> where none does.</summary>
    public int Value;

    private const int StepBits = 2;

    private readonly uint _where;

    public RouteSlot(RouteStep step, object next, int offset)
    {
        Next = next;
        Value = RouteTable.NoRoute;
        _where = (uint)offset << StepBits | (uint)step;
    }

    /// <summary>Beside the reference, so that it is known before what is referred to has come from memory.</summary>
    public readonly RouteStep Step => (RouteStep)(_where & ((1 << StepBits) - 1));

    /// <summary>Where in <see cref="Next"/> it begins.</summary>
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

    private static readonly RouteSlot NoSlot = new() { Value = RouteTable.NoRoute };

    private readonly int _depth;

    /// <summary>Sorted: all, or those that end in the slots where the region is split.</summary>
    private readonly RouteEntry[] _entries;

    private readonly RouteRegion?[]? _children;

    private RouteRegion(int depth, RouteEntry[] entries, RouteRegion?[]? children, in RouteSlot forward, int count)
    {
        _depth = depth;
        _entries = entries;
        _children = children;
        Forward = forward;
        Count = count;
    }

    /// <summary>What leads to the region for lookups; it depends on nothing outside the region.</summary>
    public RouteSlot Forward { get; }

    public int Count { get; }

    /// <param name="sorted">Longer than <paramref name="depth"/> and equal in their first bits.</param>
    /// <param name="depth">Bits on the way here.</param>
    /// <param name="pool">Where runs are put.</param>
    /// <returns>Null for no entries.</returns>
    public static RouteRegion? Build(ReadOnlySpan<RouteEntry> sorted, int depth, RouteRunPool pool)
    {
        if (sorted.Length == 0) return null;
        if (AllEndWithin(sorted, depth + Stride)) return Last(sorted.ToArray(), depth, pool);
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
        return Apart([.. own], children, depth, sorted.Length);
    }

    /// <summary>With an entry added, or its value changed.</summary>
    public RouteRegion With(RouteEntry entry)
    {
        if (_children is null || entry.Length <= _depth + Stride)
        {
            RouteEntry[] entries = Insert(entry);
            int count = Count + entries.Length - _entries.Length;
            return _children is null ? Build(entries, _depth, new RouteRunPool())! : Apart(entries, _children, _depth, count);
        }
        int slot = Slot(entry, _depth);
        RouteRegion? child = _children[slot];
        return WithChild(slot, child?.With(entry) ?? Build([entry], _depth + Stride, new RouteRunPool()));
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
            if (_children is null) return Build(entries, _depth, new RouteRunPool());
            less = Apart(entries, _children, _depth, Count - 1);
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
        return Build([.. all], _depth, new RouteRunPool());
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
        new(depth, entries, null, new RouteSlot(RouteStep.Ranges, RouteRanges.Build(entries, depth), 0), entries.Length);

    private static RouteRegion Last(RouteEntry[] entries, int depth, RouteRunPool pool)
    {
        Span<int> values = stackalloc int[RouteRuns.Addresses];
        values.Fill(RouteTable.NoRoute);
        foreach (ref readonly RouteEntry entry in entries.AsSpan()) Covered(values, entry, depth).Fill(entry.Value);
        (int[] words, int offset) = RouteRuns.Write(values, pool);
        return new RouteRegion(depth, entries, null, new RouteSlot(RouteStep.Runs, words, offset), entries.Length);
    }

    private static RouteRegion Apart(RouteEntry[] own, RouteRegion?[] children, int depth, int count)
    {
        var slots = new RouteSlot[Slots];
        for (int slot = 0; slot < Slots; slot++) slots[slot] = children[slot]?.Forward ?? NoSlot;
        foreach (ref readonly RouteEntry entry in own.AsSpan())
        {
            foreach (ref RouteSlot slot in Covered<RouteSlot>(slots, entry, depth)) slot.Value = entry.Value;
        }
        return new RouteRegion(depth, own, children, new RouteSlot(RouteStep.Slots, slots, 0), count);
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

    private RouteRegion WithChild(int slot, RouteRegion? child)
    {
        var children = (RouteRegion?[])_children!.Clone();
        var slots = (RouteSlot[])((RouteSlot[])Forward.Next!).Clone();
        int count = Count - (children[slot]?.Count ?? 0) + (child?.Count ?? 0);
        children[slot] = child;
        slots[slot] = (child?.Forward ?? NoSlot) with { Value = slots[slot].Value };
        return new RouteRegion(_depth, _entries, children, new RouteSlot(RouteStep.Slots, slots, 0), count);
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
