using System.Numerics;
using System.Security.Cryptography;
using Overlay.Wire;

namespace Overlay.Dataplane.Bridging;

/// <summary>What became of a source address that was seen.</summary>
public enum LearnOutcome : byte
{
    /// <summary>It was known there, or became known.</summary>
    Known,

    /// <summary>It was known elsewhere, and is known here now.</summary>
    Moved,

    /// <summary>There was no room for it.</summary>
    Full,
}

/// <summary>An address that was learned.</summary>
/// <param name="Location">Number of the peer; <see cref="MacTable.Local"/> for our own side.</param>
/// <param name="AgeMilliseconds">Since a frame of it was seen last.</param>
public readonly record struct LearnedMac(MacAddress Mac, int Location, long AgeMilliseconds);

/// <summary>
/// Learned MAC addresses of a segment and where they are; bounded. Any thread may call anything at any time.
/// </summary>
/// <remarks>
/// An entry is one 64-bit word, address and location together, so that a reader never sees half of a change; every change is one
/// compare-and-swap, and no thread waits for another. An address has two buckets of eight words that all its entries lie in, chosen by a
/// hash with a secret key, so that nobody can fill a bucket on purpose. Two threads that add one address at a time may leave it in two
/// words; each then looks again and takes away all but the first, which is what a lookup finds.
/// </remarks>
public sealed class MacTable
{
    /// <summary>Location of what lives on our own side of the tunnels.</summary>
    public const int Local = 0;

    /// <summary>What <see cref="Find"/> returns for an address that is not known.</summary>
    public const int Unknown = -1;

    /// <summary>Highest number of a location.</summary>
    public const int MaxLocation = ushort.MaxValue;

    private const int BucketSize = 8;
    private const int LocationBits = 16;

    // A word is refreshed no more often than this, so that a busy address does not have its cache line written for each packet.
    private const long RefreshMilliseconds = 100;

    private readonly ulong[] _words;
    private readonly long[] _seen;
    private readonly ulong _key;
    private readonly int _bucketMask;
    private readonly TimeProvider _time;
    private int _count;

    /// <param name="limit">Most addresses, at least one.</param>
    /// <param name="time">For ages.</param>
    public MacTable(int limit, TimeProvider? time = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        Limit = limit;
        _time = time ?? TimeProvider.System;
        int buckets = (int)Math.Max(2, BitOperations.RoundUpToPowerOf2((uint)limit) * 2 / BucketSize);
        _bucketMask = buckets - 1;
        _words = new ulong[buckets * BucketSize];
        _seen = new long[_words.Length];
        Span<byte> key = stackalloc byte[sizeof(ulong)];
        RandomNumberGenerator.Fill(key);
        _key = BitConverter.ToUInt64(key) | 1;
    }

    public int Limit { get; }

    /// <summary>Addresses held, those among them that are too old but not yet removed.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>The present, for the other methods: milliseconds that only grow. Read once a batch.</summary>
    public long Now => (long)_time.GetElapsedTime(0).TotalMilliseconds;

    /// <summary>Where an address was seen last, or <see cref="Unknown"/>.</summary>
    /// <param name="mac">The address's 48 bits.</param>
    /// <param name="now"><see cref="Now"/>.</param>
    /// <param name="ageing">Milliseconds after which an address that was not seen is unknown.</param>
    public int Find(ulong mac, long now, long ageing)
    {
        int slot = Slot(mac);
        if (slot < 0) return Unknown;
        ulong word = Volatile.Read(ref _words[slot]);
        return word >> LocationBits == mac && now - Volatile.Read(ref _seen[slot]) <= ageing ? (int)(word & MaxLocation) : Unknown;
    }

    /// <summary>Notes that a frame of an address came from a location.</summary>
    /// <param name="mac">The address's 48 bits: of one host, not zero.</param>
    /// <param name="location">From 0 to <see cref="MaxLocation"/>.</param>
    /// <param name="now"><see cref="Now"/>.</param>
    /// <param name="ageing">Milliseconds after which the place of another address may be taken.</param>
    public LearnOutcome Learn(ulong mac, int location, long now, long ageing)
    {
        ulong wanted = mac << LocationBits | (uint)location;
        while (true)
        {
            int slot = Slot(mac);
            if (slot < 0) return Add(mac, wanted, now, ageing);
            ulong word = Volatile.Read(ref _words[slot]);
            if (word >> LocationBits != mac) continue;
            long seen = Volatile.Read(ref _seen[slot]);
            if (word != wanted && Interlocked.CompareExchange(ref _words[slot], wanted, word) != word) continue;
            if (word != wanted || now - seen >= RefreshMilliseconds) Volatile.Write(ref _seen[slot], now);
            return word == wanted || now - seen > ageing ? LearnOutcome.Known : LearnOutcome.Moved;
        }
    }

    /// <summary>Removes what is too old, and what is at a location that is no more.</summary>
    /// <param name="now"><see cref="Now"/>.</param>
    /// <param name="ageing">Milliseconds.</param>
    /// <param name="isLocation">False for a location that is gone.</param>
    public void Sweep(long now, long ageing, Func<int, bool> isLocation)
    {
        for (int slot = 0; slot < _words.Length; slot++)
        {
            ulong word = Volatile.Read(ref _words[slot]);
            if (word == 0 || (now - Volatile.Read(ref _seen[slot]) <= ageing && isLocation((int)(word & MaxLocation)))) continue;
            Remove(slot, word);
        }
    }

    /// <summary>Every address that is not too old, in no order.</summary>
    public IReadOnlyList<LearnedMac> List(long now, long ageing)
    {
        var found = new List<LearnedMac>();
        for (int slot = 0; slot < _words.Length; slot++)
        {
            ulong word = Volatile.Read(ref _words[slot]);
            long age = Math.Max(0, now - Volatile.Read(ref _seen[slot]));
            if (word != 0 && age <= ageing) found.Add(new LearnedMac(MacBits.ToAddress(word >> LocationBits), (int)(word & MaxLocation), age));
        }
        return found;
    }

    /// <summary>A table of another limit with the same addresses, as many as fit.</summary>
    public MacTable WithLimit(int limit)
    {
        var other = new MacTable(limit, _time);
        for (int slot = 0; slot < _words.Length; slot++)
        {
            ulong word = Volatile.Read(ref _words[slot]);
            if (word != 0) other.Learn(word >> LocationBits, (int)(word & MaxLocation), Volatile.Read(ref _seen[slot]), long.MaxValue);
        }
        return other;
    }

    private LearnOutcome Add(ulong mac, ulong wanted, long now, long ageing)
    {
        (int first, int second) = Buckets(mac);
        // The emptier bucket, so that none overflows while there is room.
        int start = Used(second) < Used(first) ? second : first;
        bool room = Interlocked.Increment(ref _count) <= Limit;
        if (!room) Interlocked.Decrement(ref _count);
        foreach (int bucket in (ReadOnlySpan<int>)[start, start == first ? second : first])
        {
            for (int slot = bucket; slot < bucket + BucketSize; slot++)
            {
                ulong word = Volatile.Read(ref _words[slot]);
                bool expired = word != 0 && now - Volatile.Read(ref _seen[slot]) > ageing;
                if (!expired && (word != 0 || !room)) continue;
                if (word == 0) Volatile.Write(ref _seen[slot], now);
                if (Interlocked.CompareExchange(ref _words[slot], wanted, word) != word) continue;
                Volatile.Write(ref _seen[slot], now);
                // What was too old gave its place in the count as well.
                if (word != 0 && room) Interlocked.Decrement(ref _count);
                RemoveDuplicates(mac);
                return LearnOutcome.Known;
            }
        }
        if (room) Interlocked.Decrement(ref _count);
        return LearnOutcome.Full;
    }

    private void RemoveDuplicates(ulong mac)
    {
        int kept = Slot(mac);
        (int first, int second) = Buckets(mac);
        foreach (int bucket in (ReadOnlySpan<int>)[first, second])
        {
            for (int slot = bucket; slot < bucket + BucketSize; slot++)
            {
                ulong word = Volatile.Read(ref _words[slot]);
                if (word >> LocationBits == mac && slot != kept) Remove(slot, word);
            }
        }
    }

    private void Remove(int slot, ulong word)
    {
        if (Interlocked.CompareExchange(ref _words[slot], 0, word) == word) Interlocked.Decrement(ref _count);
    }

    private int Used(int bucket)
    {
        int used = 0;
        foreach (ulong word in _words.AsSpan(bucket, BucketSize)) used += word == 0 ? 0 : 1;
        return used;
    }

    /// <returns>The first word of the address, or -1.</returns>
    private int Slot(ulong mac)
    {
        (int first, int second) = Buckets(mac);
        int slot = Within(first, mac);
        return slot >= 0 ? slot : Within(second, mac);
    }

    private int Within(int bucket, ulong mac)
    {
        ReadOnlySpan<ulong> words = _words.AsSpan(bucket, BucketSize);
        for (int i = 0; i < words.Length; i++)
        {
            if (words[i] >> LocationBits == mac) return bucket + i;
        }
        return -1;
    }

    private (int First, int Second) Buckets(ulong mac)
    {
        ulong high = Math.BigMul(mac ^ _key, _key, out ulong low);
        ulong hash = high ^ low;
        int first = (int)(hash & (uint)_bucketMask);
        int second = (int)(hash >> 32 & (uint)_bucketMask);
        if (second == first) second = first ^ 1;
        return (first * BucketSize, second * BucketSize);
    }
}
