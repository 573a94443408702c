using System.Net;
using System.Net.Sockets;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;

namespace Overlay.Control.Ipam;

public enum BlockLendingStatus
{
    Lent,

    /// <summary>The node registered anew since.</summary>
    Superseded,

    /// <summary>It cannot be lent, or nobody asks for it any more.</summary>
    Refused,
}

/// <param name="Revision">From which on the part is the borrower's.</param>
/// <param name="Problem">What to tell the node; null on success.</param>
public sealed record BlockLoan(BlockLendingStatus Status, long Revision, string? Problem);

/// <summary>
/// Lends parts of blocks, where a network's policy is to borrow. A node that finds all blocks leased leaves a wish in the state; a node that
/// can spare a part of a block of its own, of which only it knows what is in use, lends it. The part is a block in the block: the longer
/// prefix leads to the borrower.
/// </summary>
/// <param name="cache">What is known of the store.</param>
public sealed class BlockLending(IControlStore store, StateCache cache, TimeProvider? time = null)
{
    private readonly TimeProvider _time = time ?? TimeProvider.System;

    /// <summary>Leaves a wish, unless there is one.</summary>
    public async Task WishAsync(string network, string node, bool isIPv6, CancellationToken cancellation)
    {
        string key = StateKeys.Wish(network, node, isIPv6);
        if (cache.Find(key) is not null) return;
        // That one was left meanwhile is as good.
        await store.CommitAsync(
            new StoreTransaction().RequireAbsent(key).Put(key, StateDocuments.Encode(new WishDocument(network, node, isIPv6, _time.GetUtcNow()))), cancellation)
            .ConfigureAwait(false);
    }

    /// <summary>Takes a wish back, where there is one: the node got a whole block.</summary>
    public async Task WithdrawAsync(string network, string node, bool isIPv6, CancellationToken cancellation)
    {
        string key = StateKeys.Wish(network, node, isIPv6);
        if (cache.Find(key) is not null) await store.CommitAsync(new StoreTransaction().Delete(key), cancellation).ConfigureAwait(false);
    }

    /// <summary>Lends a part of a node's block, of which the node hands out no address, to another node.</summary>
    /// <param name="generation">Of the registration by which the node lends.</param>
    public async Task<BlockLoan> LendAsync(string network, string node, long generation, IPNetwork part, string to, CancellationToken cancellation)
    {
        while (true)
        {
            bool isIPv6 = part.BaseAddress.AddressFamily == AddressFamily.InterNetworkV6;
            string wishKey = StateKeys.Wish(network, to, isIPv6);
            string partKey = StateKeys.Block(network, part);
            StoreEntry? networkEntry = await FindAsync(StateKeys.Network(network), cancellation).ConfigureAwait(false);
            StoreEntry? lender = await FindAsync(StateKeys.Node(node), cancellation).ConfigureAwait(false);
            StoreEntry? borrower = await FindAsync(StateKeys.Node(to), cancellation).ConfigureAwait(false);
            StoreEntry? wish = await FindAsync(wishKey, cancellation).ConfigureAwait(false);
            if (networkEntry is null || !StateDocuments.Network(networkEntry).Borrowing) return Refused($"nodes do not borrow in network '{network}'");
            if (lender is null || StateDocuments.Node(lender).Generation != generation) return new BlockLoan(BlockLendingStatus.Superseded, 0, null);
            if (borrower is null || wish is null) return Refused($"the node '{to}' asks for no block of network '{network}'");
            if (StateDocuments.Network(networkEntry).Pools.FirstOrDefault(pool => pool.Network.Contains(part.BaseAddress)) is not { } pool
                || part.PrefixLength <= pool.BlockLength)
                return Refused($"{part} is no part of a block of network '{network}'");
            string blockKey = StateKeys.Block(network, new BlockSpace(pool).Containing(part.BaseAddress));
            StoreEntry? block = await FindAsync(blockKey, cancellation).ConfigureAwait(false);
            if (block is null || StateDocuments.Block(block).Holder != node) return Refused($"the node '{node}' does not hold the block of which {part} is a part");
            StoreEntry? before = await FindAsync(partKey, cancellation).ConfigureAwait(false);
            BlockDocument? known = before is null ? null : StateDocuments.Block(before);
            if (known?.Holder is not null) return Refused($"{part} is lent to '{known.Holder}' already");
            var loan = new BlockDocument(network, part.ToString(), to, _time.GetUtcNow(), known?.History ?? []) { LentBy = node };
            CommitResult result = await store.CommitAsync(
                new StoreTransaction()
                    .Require(networkEntry.Key, networkEntry.Revision).Require(lender.Key, lender.Revision).Require(borrower.Key, borrower.Revision)
                    .Require(block.Key, block.Revision).Require(wishKey, wish.Revision).Require(partKey, before?.Revision ?? 0)
                    .Delete(wishKey).Put(partKey, StateDocuments.Encode(loan)),
                cancellation).ConfigureAwait(false);
            if (result.IsCommitted) return new BlockLoan(BlockLendingStatus.Lent, result.Revision, null);
        }
    }

    private static BlockLoan Refused(string problem) => new(BlockLendingStatus.Refused, 0, problem);

    private async Task<StoreEntry?> FindAsync(string key, CancellationToken cancellation)
    {
        StoreRange range = (await store.ReadAsync(key, null, cancellation).ConfigureAwait(false))!;
        return range.Entries.FirstOrDefault(entry => entry.Key == key);
    }
}
