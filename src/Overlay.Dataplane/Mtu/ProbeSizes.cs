namespace Overlay.Dataplane.Mtu;

/// <summary>Which sizes a search tries at once.</summary>
internal static class ProbeSizes
{
    /// <summary>Most sizes tried at once.</summary>
    public const int Most = 16;

    /// <summary>Intervals that the range in question is cut into.</summary>
    private const int Parts = 8;

    /// <summary>MTUs that paths have, tunnels of others among them (RFC 1191, 7, brought up to date).</summary>
    private static ReadOnlySpan<int> Common =>
        [576, 1006, 1280, 1340, 1400, 1420, 1450, 1480, 1492, 1500, 2000, 4352, 8000, 8900, 9000, 17_914, 32_000];

    /// <summary>The common sizes above one that passes, and the largest that is in question.</summary>
    /// <param name="low">Passes; 0 where nothing is known to.</param>
    /// <param name="high">The largest in question.</param>
    /// <param name="sizes">Gets them, ascending.</param>
    /// <returns>How many there are.</returns>
    public static int Ladder(int low, int high, Span<int> sizes)
    {
        int count = 0;
        foreach (int size in Common)
        {
            if (size > low && size < high && count < Most - 1) sizes[count++] = size;
        }
        sizes[count++] = high;
        return count;
    }

    /// <summary>Sizes that cut a range into equal parts.</summary>
    /// <inheritdoc cref="Ladder"/>
    public static int Split(int low, int high, Span<int> sizes)
    {
        int range = high - low;
        int parts = Math.Min(range, Parts);
        for (int i = 1; i <= parts; i++) sizes[i - 1] = low + (range * i / parts);
        return parts;
    }

    /// <summary>The largest common size below one; 0 where there is none (RFC 1191, 5: routers that tell no MTU).</summary>
    public static int Below(int size)
    {
        int found = 0;
        foreach (int common in Common)
        {
            if (common < size) found = common;
        }
        return found;
    }
}
