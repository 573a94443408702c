using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;

namespace Overlay.Controller;

/// <summary>
/// Notices nodes whose leases ran out, and takes their blocks back when they stay away. Time is measured by this process since it first saw
/// the node gone, so that no clock that is set, and no restart, shortens the grace: they can only make it longer. While the store takes no changes no
/// node can come back, so the grace begins anew when it does again.
/// </summary>
internal sealed class NodeMonitor(IControlStore store, StateCache cache, NodeLeaseOptions options, StoreTroubles troubles, ILogger log)
{
    private readonly Dictionary<string, (long Generation, long SeenAt)> _lost = [];

    private TimeSpan Patience => options.Grace + options.Lease;

    /// <summary>A look at everything; called again and again.</summary>
    public async Task LookAsync(CancellationToken cancellation)
    {
        try
        {
            if (troubles.Has(StoreTroubles.Change) || _lost.Values.Any(lost => Stopwatch.GetElapsedTime(lost.SeenAt) < Patience)) await TryAsync(cancellation).ConfigureAwait(false);
            await LookAtLeasesAsync(cancellation).ConfigureAwait(false);
        }
        catch (StoreException)
        {
            foreach ((string name, (long generation, _)) in _lost.ToArray()) _lost[name] = (generation, Stopwatch.GetTimestamp());
            throw;
        }
    }

    /// <summary>Finds out whether the store takes changes, by one that leaves nothing behind.</summary>
    private async Task TryAsync(CancellationToken cancellation)
    {
        await store.RevokeLeaseAsync(await store.GrantLeaseAsync(options.Lease, cancellation).ConfigureAwait(false), cancellation).ConfigureAwait(false);
        troubles.Remove(StoreTroubles.Change);
    }

    private async Task LookAtLeasesAsync(CancellationToken cancellation)
    {
        StoreRange alive = (await store.ReadAsync(StateKeys.Alive, null, cancellation).ConfigureAwait(false))!;
        HashSet<string> living = [.. alive.Entries.Select(entry => entry.Key[StateKeys.Alive.Length..])];
        foreach (NodeDocument node in cache.Nodes)
        {
            if (living.Contains(node.Name))
            {
                _lost.Remove(node.Name);
                continue;
            }
            if (!_lost.TryGetValue(node.Name, out var seen) || seen.Generation != node.Generation)
            {
                _lost[node.Name] = seen = (node.Generation, Stopwatch.GetTimestamp());
            }
            // Again, where it could not be written down or something came in between.
            if (node.LostSince is null) await MarkAsync(node.Name, cancellation).ConfigureAwait(false);
            // The grace and one lease more: the second look that confirms what the first one at the grace's end would say.
            if (Stopwatch.GetElapsedTime(seen.SeenAt) >= Patience) await ReclaimAsync(node.Name, cancellation).ConfigureAwait(false);
        }
        foreach (string gone in _lost.Keys.Where(name => cache.Node(name) is null).ToArray()) _lost.Remove(gone);
    }

    private async Task MarkAsync(string name, CancellationToken cancellation)
    {
        string key = StateKeys.Node(name);
        if (cache.Find(key) is not { } entry) return;
        NodeDocument lost = StateDocuments.Node(entry) with { LostSince = DateTimeOffset.UtcNow };
        CommitResult result = await store.CommitAsync(
            new StoreTransaction().Require(key, entry.Revision).RequireAbsent(StateKeys.NodeAlive(name)).Put(key, StateDocuments.Encode(lost)),
            cancellation).ConfigureAwait(false);
        if (result.IsCommitted)
            log.LogWarning("the lease of node {Node} ran out; it keeps its blocks for {Grace} s", name, options.Grace.TotalSeconds);
    }

    private async Task ReclaimAsync(string name, CancellationToken cancellation)
    {
        string key = StateKeys.Node(name);
        int returned = 0;
        foreach (BlockDocument block in cache.Networks.SelectMany(network => cache.Blocks(network.Name, name)))
        {
            if (cache.Find(key) is not { } node || cache.Find(block.Key) is not { } entry) return;
            BlockDocument free = StateDocuments.Block(entry).Freed(DateTimeOffset.UtcNow);
            CommitResult result = await store.CommitAsync(
                new StoreTransaction()
                    .Require(key, node.Revision).RequireAbsent(StateKeys.NodeAlive(name))
                    .Require(entry.Key, entry.Revision).Put(entry.Key, StateDocuments.Encode(free)),
                cancellation).ConfigureAwait(false);
            if (!result.IsCommitted) return;
            returned++;
        }
        if (returned > 0) log.LogWarning("node {Node} stayed away: its {Blocks} blocks were taken back", name, returned);
    }
}
