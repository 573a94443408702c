using System.Numerics;
using System.Runtime.CompilerServices;

namespace Overlay.Dataplane.Counters;

/// <summary>Super-packets by size class, each up to twice the size of the one before. Written by one worker thread, read by any.</summary>
public struct SuperPacketSizes
{
    public const int Classes = 6;

    private const int LeastClassBits = 11;

    private Counts _counts;

    /// <summary>Most bytes of a frame in a class: 2 KiB to 64 KiB; the last takes what is larger, too.</summary>
    public static int MostBytes(int index) => 1 << (LeastClassBits + index);

    public readonly long this[int index] => _counts[index];

    /// <summary>Counts a super-packet.</summary>
    /// <param name="bytes">Of the frame, headers included.</param>
    public void Add(int bytes)
    {
        int index = 32 - BitOperations.LeadingZeroCount((uint)bytes - 1) - LeastClassBits;
        _counts[Math.Clamp(index, 0, Classes - 1)]++;
    }

    [InlineArray(Classes)]
    private struct Counts
    {
        private long _first;
    }
}
