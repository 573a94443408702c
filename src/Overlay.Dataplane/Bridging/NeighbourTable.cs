using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Overlay.Wire;

namespace Overlay.Dataplane.Bridging;

/// <summary>A neighbour that was learned.</summary>
/// <param name="Address">IPv4 ones mapped.</param>
/// <param name="AgeMilliseconds">Since it was heard of last.</param>
public readonly record struct LearnedNeighbour(UInt128 Address, BridgeNeighbour Neighbour, long AgeMilliseconds);

/// <summary>
/// Learned neighbours of a segment: IP addresses and the MAC addresses that have them; bounded, and allocated whole at the start. Any thread
/// may call anything at any time; they wait for each other, for ARP and neighbour discovery are rare.
/// </summary>
public sealed class NeighbourTable
{
    private readonly Dictionary<UInt128, Entry> _entries;
    private readonly Lock _lock = new();

    /// <param name="limit">Most addresses, at least one.</param>
    public NeighbourTable(int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        Limit = limit;
        _entries = new Dictionary<UInt128, Entry>(limit, new KeyedHash());
    }

    public int Limit { get; }

    /// <summary>Finds the neighbour that has an address.</summary>
    /// <param name="address">IPv4 ones mapped.</param>
    /// <param name="now">Milliseconds that only grow.</param>
    /// <param name="ageing">Milliseconds after which one that was not heard of is unknown.</param>
    /// <param name="neighbour">Who has it.</param>
    public bool TryFind(UInt128 address, long now, long ageing, out BridgeNeighbour neighbour)
    {
        lock (_lock)
        {
            bool found = _entries.TryGetValue(address, out Entry entry) && now - entry.Seen <= ageing;
            neighbour = entry.Neighbour;
            return found;
        }
    }

    /// <summary>Notes that a neighbour has an address.</summary>
    /// <param name="address">IPv4 ones mapped.</param>
    /// <param name="neighbour">Who says to have it.</param>
    /// <param name="overrides">Whether another one who said so gives way (RFC 4861, 7.2.5).</param>
    /// <param name="now">Milliseconds that only grow.</param>
    /// <param name="ageing">Milliseconds after which one that was not heard of gives way.</param>
    /// <returns>False when there was no room.</returns>
    public bool Learn(UInt128 address, BridgeNeighbour neighbour, bool overrides, long now, long ageing)
    {
        lock (_lock)
        {
            if (_entries.Count == Limit && !_entries.ContainsKey(address)) return false;
            ref Entry entry = ref CollectionsMarshal.GetValueRefOrAddDefault(_entries, address, out bool known);
            if (known && !overrides && entry.Neighbour.Mac != neighbour.Mac && now - entry.Seen <= ageing) return true;
            entry = new Entry(neighbour, now);
            return true;
        }
    }

    /// <summary>Notes that an address was used by a MAC, of which nothing else is known: another MAC's claim to it is forgotten.</summary>
    public void Confirm(UInt128 address, MacAddress mac, long now)
    {
        lock (_lock)
        {
            if (!_entries.TryGetValue(address, out Entry entry)) return;
            if (entry.Neighbour.Mac == mac) _entries[address] = entry with { Seen = now };
            else _entries.Remove(address);
        }
    }

    /// <summary>Removes what is too old.</summary>
    public void Sweep(long now, long ageing)
    {
        lock (_lock)
        {
            // The dictionary allows removal while it is gone through.
            foreach ((UInt128 address, Entry entry) in _entries)
            {
                if (now - entry.Seen > ageing) _entries.Remove(address);
            }
        }
    }

    /// <summary>Every neighbour that is not too old, in no order.</summary>
    public IReadOnlyList<LearnedNeighbour> List(long now, long ageing)
    {
        lock (_lock)
        {
            return [.. _entries.Where(each => now - each.Value.Seen <= ageing)
                .Select(each => new LearnedNeighbour(each.Key, each.Value.Neighbour, Math.Max(0, now - each.Value.Seen)))];
        }
    }

    /// <summary>A table of another limit with the same neighbours, as many as fit.</summary>
    public NeighbourTable WithLimit(int limit)
    {
        var other = new NeighbourTable(limit);
        lock (_lock)
        {
            foreach ((UInt128 address, Entry entry) in _entries.Take(limit)) other._entries.Add(address, entry);
        }
        return other;
    }

    private readonly record struct Entry(BridgeNeighbour Neighbour, long Seen);

    /// <summary>A hash with a secret key, so that nobody can make addresses collide on purpose.</summary>
    private sealed class KeyedHash : IEqualityComparer<UInt128>
    {
        private readonly ulong _first = Key();
        private readonly ulong _second = Key();

        public bool Equals(UInt128 x, UInt128 y) => x == y;

        public int GetHashCode([DisallowNull] UInt128 obj)
        {
            ulong high = Math.BigMul((ulong)(obj >> 64) ^ _first, (ulong)obj ^ _second, out ulong low);
            ulong mixed = Math.BigMul(high ^ low ^ _second, _first, out low) ^ low;
            return (int)(mixed ^ mixed >> 32);
        }

        private static ulong Key()
        {
            Span<byte> key = stackalloc byte[sizeof(ulong)];
            RandomNumberGenerator.Fill(key);
            return BitConverter.ToUInt64(key) | 1;
        }
    }
}
