using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Overlay.Control.Model;
using Overlay.Control.Stores;

namespace Overlay.Control.Ipam;

public enum BlockLeaseStatus
{
    Leased,
    NoSuchNetwork,
    NoSuchNode,
    Exhausted,
}

/// <param name="Problem">What to tell the node; null on success.</param>
public sealed record BlockLease(BlockLeaseStatus Status, IPNetwork? Block, long Revision, string? Problem);

public enum BlockReturnStatus
{
    Returned,

    /// <summary>Another node holds it, or none does.</summary>
    NotHeld,
}

/// <summary>
/// Leases the blocks of a network's pools to nodes. Every change is one transaction, which demands that block, network and node are as they
/// were read, so that any number of controllers may do it at once.
/// </summary>
public sealed class BlockLeases(IControlStore store, TimeProvider? time = null)
{
    /// <summary>Free blocks among which one is chosen at random, so that controllers seldom meet at the same one.</summary>
    private const int Choice = 16;

    private const int NamedHolders = 3;

    private readonly TimeProvider _time = time ?? TimeProvider.System;

    /// <summary>Leases one more block to a node.</summary>
    /// <exception cref="StoreException">The store cannot be used; where the outcome is unknown, <see cref="HeldAsync"/> tells it.</exception>
    public async Task<BlockLease> LeaseAsync(string network, string node, AddressFamily family, CancellationToken cancellation)
    {
        while (true)
        {
            if (await FindAsync(StateKeys.Network(network), cancellation).ConfigureAwait(false) is not { } networkEntry)
                return new BlockLease(BlockLeaseStatus.NoSuchNetwork, null, 0, $"there is no network '{network}'");
            if (await FindAsync(StateKeys.Node(node), cancellation).ConfigureAwait(false) is not { } nodeEntry)
                return new BlockLease(BlockLeaseStatus.NoSuchNode, null, 0, $"the node '{node}' is not registered");
            StoreRange range = (await store.ReadAsync(StateKeys.Blocks(network), null, cancellation).ConfigureAwait(false))!;
            Dictionary<IPNetwork, (BlockDocument Document, long Revision)> known = range.Entries.ToDictionary(
                entry => IPNetwork.Parse(StateDocuments.Block(entry).Prefix), entry => (StateDocuments.Block(entry), entry.Revision));
            PoolDocument[] pools = [.. StateDocuments.Network(networkEntry).Pools.Where(pool => pool.IsIPv6 == (family == AddressFamily.InterNetworkV6))];

            if (Choose(pools, known) is not { } chosen)
                return new BlockLease(BlockLeaseStatus.Exhausted, null, range.Revision, Exhaustion(network, pools, known.Values.Select(each => each.Document)));
            BlockDocument? before = known.TryGetValue(chosen, out (BlockDocument Document, long Revision) found) ? found.Document : null;
            var document = new BlockDocument(network, chosen.ToString(), node, _time.GetUtcNow(), before?.History ?? []);
            string key = StateKeys.Block(network, chosen);
            CommitResult result = await store.CommitAsync(
                new StoreTransaction()
                    .Require(StateKeys.Network(network), networkEntry.Revision)
                    .Require(StateKeys.Node(node), nodeEntry.Revision)
                    .Require(key, found.Revision)
                    .Put(key, StateDocuments.Encode(document)),
                cancellation).ConfigureAwait(false);
            if (result.IsCommitted) return new BlockLease(BlockLeaseStatus.Leased, chosen, result.Revision, null);
        }
    }

    /// <summary>Takes a block back from the node that holds it.</summary>
    public async Task<BlockReturnStatus> ReturnAsync(string network, string node, IPNetwork block, CancellationToken cancellation)
    {
        string key = StateKeys.Block(network, block);
        while (true)
        {
            if (await FindAsync(key, cancellation).ConfigureAwait(false) is not { } entry) return BlockReturnStatus.NotHeld;
            BlockDocument held = StateDocuments.Block(entry);
            if (held.Holder != node) return BlockReturnStatus.NotHeld;
            DateTimeOffset now = _time.GetUtcNow();
            BlockDocument free = held with
            {
                Holder = null,
                Since = now,
                History = [new BlockTenure(node, held.Since, now), .. held.History.Take(BlockDocument.MostHistory - 1)],
            };
            CommitResult result = await store.CommitAsync(
                new StoreTransaction().Require(key, entry.Revision).Put(key, StateDocuments.Encode(free)), cancellation).ConfigureAwait(false);
            if (result.IsCommitted) return BlockReturnStatus.Returned;
        }
    }

    /// <summary>The blocks of a network that a node holds.</summary>
    public async Task<IReadOnlyList<BlockDocument>> HeldAsync(string network, string node, CancellationToken cancellation)
    {
        StoreRange range = (await store.ReadAsync(StateKeys.Blocks(network), null, cancellation).ConfigureAwait(false))!;
        return [.. range.Entries.Select(StateDocuments.Block).Where(block => block.Holder == node)];
    }

    private async Task<StoreEntry?> FindAsync(string key, CancellationToken cancellation)
    {
        StoreRange range = (await store.ReadAsync(key, null, cancellation).ConfigureAwait(false))!;
        return range.Entries.FirstOrDefault(entry => entry.Key == key);
    }

    /// <summary>A block that was never leased where there is one, so that those given back rest longest; else one that is free.</summary>
    private static IPNetwork? Choose(PoolDocument[] pools, Dictionary<IPNetwork, (BlockDocument Document, long Revision)> known)
    {
        var choices = new List<IPNetwork>();
        foreach (PoolDocument pool in pools)
        {
            var space = new BlockSpace(pool);
            for (UInt128 index = space.NextUsable(0); index < space.Count && choices.Count < Choice; index = space.NextUsable(index + 1))
            {
                if (!known.ContainsKey(space.At(index))) choices.Add(space.At(index));
            }
            if (choices.Count > 0) return choices[Random.Shared.Next(choices.Count)];
        }
        BlockSpace[] spaces = [.. pools.Select(pool => new BlockSpace(pool))];
        IPNetwork[] free =
        [
            .. known.Where(each => each.Value.Document.Holder is null
                    && Array.Exists(spaces, space => space.IndexOf(each.Key) is { } index && !space.IsExcluded(index)))
                .OrderBy(each => each.Value.Document.Since).Select(each => each.Key).Take(Choice),
        ];
        return free.Length == 0 ? null : free[Random.Shared.Next(free.Length)];
    }

    private static string Exhaustion(string network, PoolDocument[] pools, IEnumerable<BlockDocument> blocks)
    {
        if (pools.Length == 0) return $"network '{network}' has no pool of this family: add one";
        BlockSpace[] spaces = [.. pools.Select(pool => new BlockSpace(pool))];
        IEnumerable<string> sizes = pools.Zip(spaces, (pool, space) => $"{pool.Prefix} ({space.Count.ToString(CultureInfo.InvariantCulture)} blocks of /{pool.BlockLength})");
        IEnumerable<string> holders = blocks
            .Where(block => block.Holder is not null && Array.Exists(spaces, space => space.IndexOf(IPNetwork.Parse(block.Prefix)) is not null))
            .GroupBy(block => block.Holder!).OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal)
            .Take(NamedHolders).Select(group => $"{group.Key} {group.Count()}");
        return $"every block of network '{network}' is leased: {string.Join(", ", sizes)}; largest holders: {string.Join(", ", holders.DefaultIfEmpty("none"))}; "
            + "add a pool, or drain a node that needs fewer";
    }
}
