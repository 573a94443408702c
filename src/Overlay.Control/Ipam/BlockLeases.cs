using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;

namespace Overlay.Control.Ipam;

public enum BlockLeaseStatus
{
    Leased,
    NoSuchNetwork,
    NoSuchNode,

    /// <summary>The node gets no more blocks.</summary>
    Draining,
    Exhausted,

    /// <summary>The block that was asked for is another node's, or in no pool.</summary>
    Taken,
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
/// <param name="cache">What is known of the store; null: each lease reads it.</param>
public sealed class BlockLeases(IControlStore store, TimeProvider? time = null, StateCache? cache = null)
{
    /// <summary>Free blocks among which one is chosen at random, so that controllers seldom meet at the same one.</summary>
    private const int Choice = 16;

    private const int NamedHolders = 3;

    private readonly TimeProvider _time = time ?? TimeProvider.System;

    /// <summary>Blocks that calls of this instance are about to lease: they keep out of each other's way.</summary>
    private readonly ConcurrentDictionary<IPNetwork, string> _chosen = [];

    /// <summary>Leases one more block to a node, or the one that it asks for if it is free or its own.</summary>
    /// <param name="wanted">A block; null: any.</param>
    /// <exception cref="StoreException">The store cannot be used; where the outcome is unknown, <see cref="HeldAsync"/> tells it.</exception>
    public async Task<BlockLease> LeaseAsync(
        string network, string node, AddressFamily family, CancellationToken cancellation, IPNetwork? wanted = null)
    {
        StateCache? known = cache;
        while (true)
        {
            if (await FindAsync(StateKeys.Network(network), known, cancellation).ConfigureAwait(false) is not { } networkEntry)
                return new BlockLease(BlockLeaseStatus.NoSuchNetwork, null, 0, $"there is no network '{network}'");
            if (await FindAsync(StateKeys.Node(node), known, cancellation).ConfigureAwait(false) is not { } nodeEntry)
                return new BlockLease(BlockLeaseStatus.NoSuchNode, null, 0, $"the node '{node}' is not registered");
            if (StateDocuments.Node(nodeEntry).Draining)
                return new BlockLease(BlockLeaseStatus.Draining, null, 0, $"the node '{node}' is being drained and gets no more blocks");
            PoolDocument[] pools = [.. StateDocuments.Network(networkEntry).Pools.Where(pool => pool.IsIPv6 == (family == AddressFamily.InterNetworkV6))];
            BlockSpace[] spaces = [.. pools.Select(pool => new BlockSpace(pool))];
            if (known is null) known = await ReadAsync(network, cancellation).ConfigureAwait(false);
            (IPNetwork? chosen, long revision, BlockDocument? before, string? problem) = known.WithBlocks(
                network, blocks => Choose(network, node, spaces, pools, blocks, wanted));
            if (chosen is not { } block)
            {
                // What is free may only have come since.
                if (ReferenceEquals(known, cache))
                {
                    known = null;
                    continue;
                }
                return new BlockLease(wanted is null ? BlockLeaseStatus.Exhausted : BlockLeaseStatus.Taken, null, known.Revision, problem);
            }
            try
            {
                if (before?.Holder == node) return new BlockLease(BlockLeaseStatus.Leased, block, revision, null);
                string key = StateKeys.Block(network, block);
                var document = new BlockDocument(network, block.ToString(), node, _time.GetUtcNow(), before?.History ?? []);
                CommitResult result = await store.CommitAsync(
                    new StoreTransaction()
                        .Require(StateKeys.Network(network), networkEntry.Revision)
                        .Require(StateKeys.Node(node), nodeEntry.Revision)
                        .Require(key, revision)
                        .Put(key, StateDocuments.Encode(document)),
                    cancellation).ConfigureAwait(false);
                if (result.IsCommitted) return new BlockLease(BlockLeaseStatus.Leased, block, result.Revision, null);
                known = null;
            }
            finally
            {
                _chosen.TryRemove(block, out _);
            }
        }
    }

    /// <summary>Takes a block back from the node that holds it.</summary>
    public async Task<BlockReturnStatus> ReturnAsync(string network, string node, IPNetwork block, CancellationToken cancellation)
    {
        string key = StateKeys.Block(network, block);
        while (true)
        {
            if (await FindAsync(key, null, cancellation).ConfigureAwait(false) is not { } entry) return BlockReturnStatus.NotHeld;
            BlockDocument held = StateDocuments.Block(entry);
            if (held.Holder != node) return BlockReturnStatus.NotHeld;
            BlockDocument free = held.Freed(_time.GetUtcNow());
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

    private async Task<StoreEntry?> FindAsync(string key, StateCache? known, CancellationToken cancellation)
    {
        if (known?.Find(key) is { } entry) return entry;
        StoreRange range = (await store.ReadAsync(key, null, cancellation).ConfigureAwait(false))!;
        return range.Entries.FirstOrDefault(each => each.Key == key);
    }

    private async Task<StateCache> ReadAsync(string network, CancellationToken cancellation)
    {
        var read = new StateCache();
        read.Reset((await store.ReadAsync(StateKeys.Blocks(network), null, cancellation).ConfigureAwait(false))!);
        return read;
    }

    private (IPNetwork? Block, long Revision, BlockDocument? Before, string? Problem) Choose(
        string network, string node, BlockSpace[] spaces, PoolDocument[] pools,
        IReadOnlyDictionary<IPNetwork, (BlockDocument Document, long Revision)> known, IPNetwork? wanted)
    {
        IPNetwork? chosen;
        if (wanted is { } asked)
        {
            BlockDocument? held = known.TryGetValue(asked, out (BlockDocument Document, long Revision) entry) ? entry.Document : null;
            if (held?.Holder is { } holder && holder != node) return (null, 0, null, $"the block {asked} of network '{network}' is leased to '{holder}'");
            if (held?.Holder is null && !Array.Exists(spaces, space => space.IndexOf(asked) is { } index && !space.IsExcluded(index)))
                return (null, 0, null, $"the block {asked} is in no pool of network '{network}'");
            chosen = _chosen.TryAdd(asked, node) ? asked : null;
            if (chosen is null) return (null, 0, null, $"the block {asked} of network '{network}' is just being leased");
        }
        else
        {
            chosen = Choose(spaces, known, node);
        }
        if (chosen is not { } block) return (null, 0, null, Exhaustion(network, pools, spaces, known.Values.Select(each => each.Document)));
        return known.TryGetValue(block, out (BlockDocument Document, long Revision) found) ? (block, found.Revision, found.Document, null) : (block, 0, null, null);
    }

    /// <summary>A block that was never leased where there is one, so that those given back rest longest; else one that is free.</summary>
    private IPNetwork? Choose(BlockSpace[] spaces, IReadOnlyDictionary<IPNetwork, (BlockDocument Document, long Revision)> known, string node)
    {
        foreach (BlockSpace space in spaces)
        {
            var choices = new List<IPNetwork>();
            for (UInt128 index = space.NextUsable(0); index < space.Count && choices.Count < Choice; index = space.NextUsable(index + 1))
            {
                IPNetwork block = space.At(index);
                if (!known.ContainsKey(block) && !_chosen.ContainsKey(block)) choices.Add(block);
            }
            if (Claim(choices, node) is { } claimed) return claimed;
        }
        return Claim(
            [
                .. known.Where(each => each.Value.Document.Holder is null && !_chosen.ContainsKey(each.Key)
                        && Array.Exists(spaces, space => space.IndexOf(each.Key) is { } index && !space.IsExcluded(index)))
                    .OrderBy(each => each.Value.Document.Since).Select(each => each.Key).Take(Choice),
            ],
            node);
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

    private static string Exhaustion(string network, PoolDocument[] pools, BlockSpace[] spaces, IEnumerable<BlockDocument> blocks)
    {
        if (pools.Length == 0) return $"network '{network}' has no pool of this family: add one";
        IEnumerable<string> sizes = pools.Zip(spaces, (pool, space) => $"{pool.Prefix} ({space.Count.ToString(CultureInfo.InvariantCulture)} blocks of /{pool.BlockLength})");
        IEnumerable<string> holders = blocks
            .Where(block => block.Holder is not null && Array.Exists(spaces, space => space.IndexOf(IPNetwork.Parse(block.Prefix)) is not null))
            .GroupBy(block => block.Holder!).OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal)
            .Take(NamedHolders).Select(group => $"{group.Key} {group.Count()}");
        return $"every block of network '{network}' is leased: {string.Join(", ", sizes)}; largest holders: {string.Join(", ", holders.DefaultIfEmpty("none"))}; "
            + "add a pool, or drain a node that needs fewer";
    }
}
