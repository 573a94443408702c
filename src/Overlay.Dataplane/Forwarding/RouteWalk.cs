using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// A lookup in three steps, each of which waits for memory once at most where prefixes are many: taken for several destinations in turn, they
/// wait together, however many instructions a lookup has.
/// </summary>
internal struct RouteWalk
{
    /// <summary>Walks that are taken together: so many misses of a cache as a processor has on their way at a time.</summary>
    public const int Together = 16;

    private object? _next;
    private ulong _high, _low;
    private uint _offset, _place;
    private int _best;
    private RouteStep _step;

    /// <summary>Goes through arrays of slots, most of which are in a cache.</summary>
    /// <param name="root">Of the family.</param>
    /// <param name="high">First 64 bits of the destination; an IPv4 address is at their top.</param>
    /// <param name="low">The 64 bits that follow.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Begin(in RouteSlot root, ulong high, ulong low)
    {
        ref readonly RouteSlot slot = ref root;
        int best = slot.Value, taken = 0;
        while (slot.Step == RouteStep.Slots)
        {
            slot = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Unsafe.As<RouteSlot[]>(slot.Next!)), (uint)(high >> 56));
            best = RouteTable.Longest(slot.Value, best);
            high <<= 8;
            taken += 8;
            if (taken == 64) high = low;
        }
        if (taken >= 64) low = 0;
        _next = slot.Next;
        _step = slot.Step;
        _offset = slot.Offset;
        _best = best;
        _high = high | low >> 1 >> (63 - taken);
        _low = low << taken;
    }

    /// <summary>Finds where the value is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Find()
    {
        if (_step == RouteStep.Block) _place = RouteBlock.Find(Unsafe.As<byte[]>(_next!), (uint)(_high >> 48));
        else if (_step == RouteStep.Ranges) _place = RouteRanges.FindBlock(Unsafe.As<int[]>(_next!), _offset, _high);
        else if (_step == RouteStep.Runs) _place = RouteRuns.Find(ref First(_next), (uint)(_high >> 56), RouteRuns.PieceRecords);
    }

    /// <summary>Reads it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly int End()
    {
        if (_step == RouteStep.End) return _best;
        int value = _step == RouteStep.Ranges
            ? RouteRanges.LookupFrom(Unsafe.As<int[]>(_next!), _offset, _place, _high, _low)
            : RouteRuns.ValueAt(ref First(_next), _place);
        return RouteTable.Longest(value, _best);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ref byte First(object? runs) => ref MemoryMarshal.GetArrayDataReference(Unsafe.As<byte[]>(runs!));
}
