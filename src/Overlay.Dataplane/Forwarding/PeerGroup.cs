using System.Text;

namespace Overlay.Dataplane.Forwarding;

/// <summary>A peer of a group.</summary>
/// <param name="Peer">Index in <see cref="Segment.Peers"/>.</param>
/// <param name="Name">Of the peer: what its share of the flows hangs on.</param>
/// <param name="Weight">Its share of the flows is its part of the sum of weights; at least 1.</param>
public readonly record struct GroupMember(int Peer, string Name, int Weight);

/// <summary>
/// Several peers for the same destinations (equal-cost multipath, RFC 2992). A flow hashes to one of a fixed number of buckets, and each
/// bucket belongs to the member that scores highest for it (weighted rendezvous hashing: Thaler and Ravishankar, 1998): where a member goes,
/// only its own flows move; where it comes back, only those return. All nodes and restarts agree, for a bucket hangs on names and weights alone.
/// </summary>
public sealed class PeerGroup
{
    public const int MostMembers = 64;

    /// <summary>The more, the nearer the shares: of four of the same weight, one deviates by 0.7 % (one standard deviation).</summary>
    private const int Buckets = 1 << 16;

    private readonly byte[] _buckets = new byte[Buckets];
    private readonly int[] _peers;

    /// <param name="members">1 to <see cref="MostMembers"/>, of different names.</param>
    public PeerGroup(IReadOnlyList<GroupMember> members)
    {
        ArgumentOutOfRangeException.ThrowIfZero(members.Count, nameof(members));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(members.Count, MostMembers, nameof(members));
        Members = members;
        _peers = [.. members.Select(member => member.Peer)];
        ulong[] names = [.. members.Select(member => Hash(member.Name))];
        for (int bucket = 0; bucket < Buckets; bucket++) _buckets[bucket] = (byte)Owner(bucket, members, names);
    }

    public IReadOnlyList<GroupMember> Members { get; }

    /// <summary>Of the members: indexes in <see cref="Segment.Peers"/>.</summary>
    public ReadOnlySpan<int> Peers => _peers;

    /// <summary>The peer of a flow. The lowest bits choose; those that choose an outer source port are the highest.</summary>
    /// <returns>Index in <see cref="Segment.Peers"/>.</returns>
    public int Choose(uint flowHash) => _peers[_buckets[BucketOf(flowHash)]];

    /// <summary>The bucket of a flow: from 0 to one less than there are.</summary>
    public static int BucketOf(uint flowHash) => (int)(flowHash & (Buckets - 1));

    private static int Owner(int bucket, IReadOnlyList<GroupMember> members, ulong[] names)
    {
        int owner = 0;
        double best = double.PositiveInfinity;
        for (int i = 0; i < names.Length; i++)
        {
            // Exponentially distributed with the weight as its rate: the least of them is each one's in proportion to its weight.
            double uniform = ((Mix(names[i] ^ Mix((ulong)bucket)) >> 11) + 0.5) / (1UL << 53);
            double score = -Math.Log(uniform) / members[i].Weight;
            if (score >= best) continue;
            best = score;
            owner = i;
        }
        return owner;
    }

    private static ulong Hash(string name)
    {
        ulong hash = 0;
        foreach (byte octet in Encoding.UTF8.GetBytes(name)) hash = Mix(hash ^ octet);
        return hash;
    }

    /// <summary>The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).</summary>
    private static ulong Mix(ulong value)
    {
        value += 0x9e3779b97f4a7c15;
        value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
        value = (value ^ value >> 27) * 0x94d049bb133111eb;
        return value ^ value >> 31;
    }
}
