using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;

namespace Overlay.Controller;

/// <summary>
/// Notices nodes whose leases ran out, and takes their blocks back when they stay away. Time is measured by this process since it first saw
/// the node gone, so that no clock that is set, and no restart, shortens the grace: they can only make it longer. While the store takes no changes no
/// node can come back, so the grace begins anew when it does again. Nor does a controller with a shorter grace shorten what a node was told when it registered.
/// </summary>
internal sealed class NodeMonitor(IControlStore store, StateCache cache, NodeLeaseOptions options, StoreTroubles troubles, ILogger log)
{
    private readonly Dictionary<string, (long Generation, long SeenAt)> _lost = [];

    /// <summary>A look at everything; called again and again.</summary>
    public async Task LookAsync(CancellationToken cancellation)
    {
        try
        {
            if (troubles.Has(StoreTroubles.Change) || _lost.Any(lost => cache.Node(lost.Key) is { } node && Stopwatch.GetElapsedTime(lost.Value.SeenAt) < PatienceWith(node))) await TryAsync(cancellation).ConfigureAwait(false);
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
            if (node.LostSince is null) await MarkAsync(node, cancellation).ConfigureAwait(false);
            // The grace and one lease more: the second look that confirms what the first one at the grace's end would say.
            if (Stopwatch.GetElapsedTime(seen.SeenAt) >= PatienceWith(node)) await ReclaimAsync(node.Name, cancellation).ConfigureAwait(false);
        }
        foreach (string gone in _lost.Keys.Where(name => cache.Node(name) is null).ToArray()) _lost.Remove(gone);
    }

    private TimeSpan PatienceWith(NodeDocument node) => GraceOf(node) + options.Lease;

    private TimeSpan GraceOf(NodeDocument node) => TimeSpan.FromSeconds(Math.Max(options.Grace.TotalSeconds, node.GraceSeconds));

    private async Task MarkAsync(NodeDocument node, CancellationToken cancellation)
    {
        string key = StateKeys.Node(node.Name);
        if (cache.Find(key) is not { } entry) return;
        NodeDocument lost = StateDocuments.Node(entry) with { LostSince = DateTimeOffset.UtcNow };
        CommitResult result = await store.CommitAsync(
            new StoreTransaction().Require(key, entry.Revision).RequireAbsent(StateKeys.NodeAlive(node.Name)).Put(key, StateDocuments.Encode(lost)),
            cancellation).ConfigureAwait(false);
        if (result.IsCommitted)
            log.LogWarning("the lease of node {Node} ran out; it keeps its blocks for {Grace} s", node.Name, GraceOf(node).TotalSeconds);
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
