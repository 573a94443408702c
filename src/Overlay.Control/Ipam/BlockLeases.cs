using System.Collections.Concurrent;
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

    /// <summary>The node registered anew since.</summary>
    Superseded,
}

/// <param name="Revision">From which on the node does not hold it.</param>
public readonly record struct BlockReturn(BlockReturnStatus Status, long Revision);

/// <summary>
/// Leases the blocks of a network's pools to nodes. Every change is one transaction, which demands that block, network and node are as they
/// were read, so that any number of controllers may do it at once.
/// </summary>
/// <param name="cache">What is known of the store; null: each lease reads it.</param>
public sealed class BlockLeases(IControlStore store, TimeProvider? time = null, StateCache? cache = null)
{
    /// <summary>Conflicts after which the store is read rather than the cache.</summary>
    private const int MostConflicts = 4;

    /// <summary>How long a reading of all blocks, by which a pool was found used up, is good enough to say so again.</summary>
    private static readonly TimeSpan ReadingAge = TimeSpan.FromSeconds(1);

    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly BlockChoice _choice = new();
    private readonly ConcurrentDictionary<string, Reading> _readings = [];

    private sealed record Reading(long At, Task<StateCache> Blocks);

    /// <summary>Leases one more block to a node, or the one that it asks for if it is free or its own.</summary>
    /// <param name="wanted">A block; null: any.</param>
    /// <exception cref="StoreException">The store cannot be used; where the outcome is unknown, <see cref="HeldAsync"/> tells it.</exception>
    public async Task<BlockLease> LeaseAsync(
        string network, string node, AddressFamily family, CancellationToken cancellation, IPNetwork? wanted = null)
    {
        StateCache? known = cache;
        int conflicts = 0;
        while (true)
        {
            // Who was too late once asks the store.
            StateCache? documents = conflicts > 0 ? null : known;
            if (await FindAsync(StateKeys.Network(network), documents, cancellation).ConfigureAwait(false) is not { } networkEntry)
                return new BlockLease(BlockLeaseStatus.NoSuchNetwork, null, 0, $"there is no network '{network}'");
            if (await FindAsync(StateKeys.Node(node), documents, cancellation).ConfigureAwait(false) is not { } nodeEntry)
                return new BlockLease(BlockLeaseStatus.NoSuchNode, null, 0, $"the node '{node}' is not registered");
            if (StateDocuments.Node(nodeEntry).Draining)
                return new BlockLease(BlockLeaseStatus.Draining, null, 0, $"the node '{node}' is being drained and gets no more blocks");
            PoolDocument[] pools = [.. StateDocuments.Network(networkEntry).Pools.Where(pool => pool.IsIPv6 == (family == AddressFamily.InterNetworkV6))];
            var asked = new BlockRequest(network, node, pools, wanted);
            known ??= await ReadAsync(network, conflicts > 0 || wanted is not null, cancellation).ConfigureAwait(false);
            ChosenBlock chosen = _choice.Choose(asked, known, isCurrent: ReferenceEquals(known, cache));
            if (chosen.Block is not { } block)
            {
                // What is free may only have come since.
                if (ReferenceEquals(known, cache))
                {
                    known = null;
                    continue;
                }
                return new BlockLease(wanted is null ? BlockLeaseStatus.Exhausted : BlockLeaseStatus.Taken, null, known.Revision, chosen.Problem);
            }
            try
            {
                if (chosen.Before?.Holder == node) return new BlockLease(BlockLeaseStatus.Leased, block, chosen.Revision, null);
                string key = StateKeys.Block(network, block);
                var document = new BlockDocument(network, block.ToString(), node, _time.GetUtcNow(), chosen.Before?.History ?? []);
                CommitResult result = await store.CommitAsync(
                    new StoreTransaction()
                        .Require(StateKeys.Network(network), networkEntry.Revision)
                        .Require(StateKeys.Node(node), nodeEntry.Revision)
                        .Require(key, chosen.Revision)
                        .Put(key, StateDocuments.Encode(document)),
                    cancellation).ConfigureAwait(false);
                if (result.IsCommitted)
                {
                    // Until the cache knows it, others would choose it too.
                    if (cache is not null) await cache.WaitAsync(result.Revision, cancellation).ConfigureAwait(false);
                    return new BlockLease(BlockLeaseStatus.Leased, block, result.Revision, null);
                }
            }
            finally
            {
                _choice.Release(block);
            }
            conflicts++;
            known = conflicts < MostConflicts ? cache : null;
        }
    }

    /// <summary>Takes a block back from the node that holds it.</summary>
    /// <param name="generation">
    /// Of the registration by which the node gives it back: what is said by an earlier one comes too late, as the node may have gone on with the block.
    /// </param>
    public async Task<BlockReturn> ReturnAsync(string network, string node, long generation, IPNetwork block, CancellationToken cancellation)
    {
        string key = StateKeys.Block(network, block);
        string nodeKey = StateKeys.Node(node);
        while (true)
        {
            StoreEntry? registered = await FindAsync(nodeKey, null, cancellation).ConfigureAwait(false);
            if (registered is not null && StateDocuments.Node(registered).Generation != generation) return new BlockReturn(BlockReturnStatus.Superseded, 0);
            StoreRange range = (await store.ReadAsync(key, null, cancellation).ConfigureAwait(false))!;
            StoreEntry? entry = range.Entries.FirstOrDefault(each => each.Key == key);
            if (entry is null) return new BlockReturn(BlockReturnStatus.NotHeld, range.Revision);
            BlockDocument held = StateDocuments.Block(entry);
            if (held.Holder != node) return new BlockReturn(BlockReturnStatus.NotHeld, range.Revision);
            BlockDocument free = held.Freed(_time.GetUtcNow());
            CommitResult result = await store.CommitAsync(
                new StoreTransaction().Require(nodeKey, registered?.Revision ?? 0).Require(key, entry.Revision).Put(key, StateDocuments.Encode(free)), cancellation).ConfigureAwait(false);
            if (result.IsCommitted) return new BlockReturn(BlockReturnStatus.Returned, result.Revision);
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

    /// <param name="isFresh">Whether it has to be read now.</param>
    private async Task<StateCache> ReadAsync(string network, bool isFresh, CancellationToken cancellation)
    {
        if (cache is null || isFresh) return await ReadAsync(network, cancellation).ConfigureAwait(false);
        // Where a pool is used up, every node asks again and again.
        Reading? last = _readings.GetValueOrDefault(network);
        if (last is null || last.Blocks.IsFaulted || last.Blocks.IsCanceled || _time.GetElapsedTime(last.At) > ReadingAge)
            _readings[network] = last = new Reading(_time.GetTimestamp(), ReadAsync(network, CancellationToken.None));
        return await last.Blocks.WaitAsync(cancellation).ConfigureAwait(false);
    }

    private async Task<StateCache> ReadAsync(string network, CancellationToken cancellation)
    {
        var read = new StateCache();
        read.Reset((await store.ReadAsync(StateKeys.Blocks(network), null, cancellation).ConfigureAwait(false))!);
        return read;
    }
}
