using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using Overlay.Control.Model;
using Overlay.Control.State;

namespace Overlay.Control.Ipam;

/// <summary>Who asks for a block of which pools.</summary>
/// <param name="Pools">Of the family that is asked for.</param>
/// <param name="Wanted">A block; null: any.</param>
internal sealed record BlockRequest(string Network, string Node, IReadOnlyList<PoolDocument> Pools, IPNetwork? Wanted)
{
    public BlockSpace[] Spaces { get; } = [.. Pools.Select(pool => new BlockSpace(pool))];

    /// <summary>Whether a block is one of the pools', and not excluded.</summary>
    public bool IsOffered(IPNetwork block) => Array.Exists(Spaces, space => space.IndexOf(block) is { } index && !space.IsExcluded(index));
}

/// <param name="Block">Null: there is none, for the reason in <paramref name="Problem"/>.</param>
/// <param name="Revision">Of the block's document; 0: it has none.</param>
internal readonly record struct ChosenBlock(IPNetwork? Block, long Revision, BlockDocument? Before, string? Problem);

/// <summary>Chooses blocks to lease. Those who choose at once, through one instance, keep out of each other's way. Used by any thread.</summary>
internal sealed class BlockChoice
{
    /// <summary>Free blocks among which one is chosen at random, so that controllers seldom meet at the same one.</summary>
    private const int Choice = 16;

    private const int NamedHolders = 3;

    private readonly ConcurrentDictionary<IPNetwork, string> _chosen = [];

    /// <summary>By pool: all blocks before it were leased once, unless some were forgotten since.</summary>
    private readonly ConcurrentDictionary<(string Network, string Pool), (UInt128 Index, long Forgotten)> _leasedUpTo = [];

    /// <summary>A block, which nobody else is given until it is released.</summary>
    /// <param name="isCurrent">Whether <paramref name="known"/> is the same each time and follows the store.</param>
    public ChosenBlock Choose(BlockRequest request, StateCache known, bool isCurrent) => known.WithBlocks(request.Network, blocks =>
    {
        if (request.Wanted is { } wanted) return Choose(request, blocks, wanted);
        IPNetwork? chosen = NeverLeased(request, blocks, isCurrent ? known : null) ?? GivenBack(request, blocks);
        return chosen is { } block ? Found(block, blocks) : new ChosenBlock(null, 0, null, Exhaustion(request, blocks.Values.Select(each => each.Document)));
    });

    /// <summary>The block was leased, or was not to be.</summary>
    public void Release(IPNetwork block) => _chosen.TryRemove(block, out _);

    private ChosenBlock Choose(BlockRequest request, IReadOnlyDictionary<IPNetwork, (BlockDocument Document, long Revision)> known, IPNetwork wanted)
    {
        string? holder = known.TryGetValue(wanted, out (BlockDocument Document, long Revision) entry) ? entry.Document.Holder : null;
        string? problem = holder is not null && holder != request.Node ? $"the block {wanted} of network '{request.Network}' is leased to '{holder}'"
            : holder is null && !request.IsOffered(wanted) ? $"the block {wanted} is in no pool of network '{request.Network}'"
            : !_chosen.TryAdd(wanted, request.Node) ? $"the block {wanted} of network '{request.Network}' is just being leased"
            : null;
        return problem is null ? Found(wanted, known) : new ChosenBlock(null, 0, null, problem);
    }

    private static ChosenBlock Found(IPNetwork block, IReadOnlyDictionary<IPNetwork, (BlockDocument Document, long Revision)> known) =>
        known.TryGetValue(block, out (BlockDocument Document, long Revision) found) ? new(block, found.Revision, found.Document, null) : new(block, 0, null, null);

    /// <summary>A block that was never leased, so that those given back rest longest.</summary>
    /// <param name="current">Where it is known how far blocks were leased before; null: they are looked through from the first.</param>
    private IPNetwork? NeverLeased(BlockRequest request, IReadOnlyDictionary<IPNetwork, (BlockDocument Document, long Revision)> known, StateCache? current)
    {
        for (int pool = 0; pool < request.Spaces.Length; pool++)
        {
            BlockSpace space = request.Spaces[pool];
            (string, string) name = (request.Network, request.Pools[pool].Prefix);
            long forgotten = current?.BlocksForgotten ?? 0;
            UInt128 first = current is not null && _leasedUpTo.TryGetValue(name, out var upTo) && upTo.Forgotten == forgotten ? upTo.Index : 0;
            first = space.NextUsable(first);
            while (first < space.Count && known.ContainsKey(space.At(first))) first = space.NextUsable(first + 1);
            if (current is not null) _leasedUpTo[name] = (first, forgotten);
            var choices = new List<IPNetwork>();
            for (UInt128 index = first; index < space.Count && choices.Count < Choice; index = space.NextUsable(index + 1))
            {
                IPNetwork block = space.At(index);
                if (!known.ContainsKey(block) && !_chosen.ContainsKey(block)) choices.Add(block);
            }
            if (Claim(choices, request.Node) is { } claimed) return claimed;
        }
        return null;
    }

    /// <summary>One of those that have been free longest.</summary>
    private IPNetwork? GivenBack(BlockRequest request, IReadOnlyDictionary<IPNetwork, (BlockDocument Document, long Revision)> known)
    {
        // A block whose lender is gone waits for its borrowers.
        IPNetwork[] lent = [.. known.Where(each => each.Value.Document is { LentBy: not null, Holder: not null }).Select(each => each.Key)];
        return Claim(
            [
                .. known.Where(each => each.Value.Document.Holder is null && !_chosen.ContainsKey(each.Key) && request.IsOffered(each.Key)
                        && !Array.Exists(lent, part => each.Key.Contains(part.BaseAddress)))
                    .OrderBy(each => each.Value.Document.Since).Select(each => each.Key).Take(Choice),
            ],
            request.Node);
    }

    private IPNetwork? Claim(List<IPNetwork> choices, string node)
    {
        while (choices.Count > 0)
        {
            IPNetwork choice = choices[Random.Shared.Next(choices.Count)];
            if (_chosen.TryAdd(choice, node)) return choice;
            choices.Remove(choice);
        }
        return null;
    }

    private static string Exhaustion(BlockRequest request, IEnumerable<BlockDocument> blocks)
    {
        if (request.Pools.Count == 0) return $"network '{request.Network}' has no pool of this family: add one";
        IEnumerable<string> sizes = request.Pools.Zip(
            request.Spaces, (pool, space) => $"{pool.Prefix} ({space.Count.ToString(CultureInfo.InvariantCulture)} blocks of /{pool.BlockLength})");
        IEnumerable<string> holders = blocks
            .Where(block => block.Holder is not null && Array.Exists(request.Spaces, space => space.IndexOf(IPNetwork.Parse(block.Prefix)) is not null))
            .GroupBy(block => block.Holder!).OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal)
            .Take(NamedHolders).Select(group => $"{group.Key} {group.Count()}");
        return $"every block of network '{request.Network}' is leased: {string.Join(", ", sizes)}; largest holders: {string.Join(", ", holders.DefaultIfEmpty("none"))}; "
            + "add a pool, or drain a node that needs fewer";
    }
}
