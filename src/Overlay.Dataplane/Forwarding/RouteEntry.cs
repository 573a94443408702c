using Overlay.Wire;

namespace Overlay.Dataplane.Forwarding;

/// <summary>A prefix with its address moved to the top of 128 bits; sorts a prefix before those inside it.</summary>
internal readonly record struct RouteEntry(ulong High, ulong Low, int Length, int Value) : IComparable<RouteEntry>
{
    private const int V4Bits = 32;
    private const int V6Bits = 128;

    /// <exception cref="ArgumentException">A length, a value or trailing bits are out of range.</exception>
    public static RouteEntry Of(RoutePrefix prefix)
    {
        int bits = IpBits.IsMapped(prefix.Address) ? V4Bits : V6Bits;
        if ((uint)prefix.Length > bits) throw new ArgumentException($"prefix length {prefix.Length} exceeds {bits}", nameof(prefix));
        ArgumentOutOfRangeException.ThrowIfNegative(prefix.Value, nameof(prefix));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(prefix.Value, RouteRuns.MaxValue, nameof(prefix));
        UInt128 key = prefix.Address << (V6Bits - bits);
        if (prefix.Length < V6Bits && key << prefix.Length != 0)
            throw new ArgumentException($"{IpBits.ToAddress(prefix.Address)}/{prefix.Length} has bits beyond its length", nameof(prefix));
        return new RouteEntry((ulong)(key >> 64), (ulong)key, prefix.Length, prefix.Value);
    }

    public static void Sort(Span<RouteEntry> entries)
    {
        // An IPv4 prefix and its length are one number, which sorts several times faster than a structure.
        foreach (RouteEntry entry in entries)
        {
            if (entry.Low == 0 && (uint)entry.High == 0 && entry.Length <= V4Bits) continue;
            entries.Sort();
            return;
        }
        ulong[] keys = new ulong[entries.Length];
        for (int i = 0; i < keys.Length; i++) keys[i] = entries[i].High | (uint)entries[i].Length;
        keys.AsSpan().Sort(entries);
    }

    /// <summary>The bits behind <paramref name="depth"/>, at the top.</summary>
    public ulong From(int depth)
    {
        if (depth == 0) return High;
        return depth < 64 ? High << depth | Low >> (64 - depth) : Low << (depth - 64);
    }

    public bool Covers(ulong high, ulong low) => Length == 0 || (new UInt128(High ^ high, Low ^ low) >> (V6Bits - Length)) == 0;

    public RoutePrefix ToPrefix(bool isIpv4) => new(isIpv4 ? IpBits.Mapped((uint)(High >> V4Bits)) : new UInt128(High, Low), Length, Value);

    public int CompareTo(RouteEntry other)
    {
        if (High != other.High) return High < other.High ? -1 : 1;
        if (Low != other.Low) return Low < other.Low ? -1 : 1;
        return Length.CompareTo(other.Length);
    }

    public override string ToString() => $"{High:x16}{Low:x16}/{Length}";
}
