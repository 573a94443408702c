using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;
using Overlay.Rpc.Grpc;

namespace Overlay.Controller;

/// <summary>Plans of what administrators do to nodes.</summary>
internal sealed class NodeChanges(IControlStore store, StateCache cache)
{
    public async Task<ChangePlan> DrainAsync(string name, bool draining, CancellationToken cancellation)
    {
        StoreEntry entry = await FindAsync(name, cancellation).ConfigureAwait(false);
        NodeDocument node = StateDocuments.Node(entry);
        if (node.Draining == draining) return new ChangePlan();
        return new ChangePlan().Put(entry.Key, entry, StateDocuments.Encode(node with { Draining = draining }));
    }

    /// <summary>Forgets a node that is not alive, or any with force, and frees its blocks; also those that a removal left which was cut short.</summary>
    public async Task<ChangePlan> RemoveAsync(string name, bool force, CancellationToken cancellation)
    {
        string key = StateKeys.Node(Requests.Name("node", name));
        StoreEntry? entry = await store.FindAsync(key, cancellation).ConfigureAwait(false);
        if (entry is null)
        {
            ChangePlan left = Left(name);
            return left.IsEmpty && !force ? throw NotThere(name) : left;
        }
        string alive = StateKeys.NodeAlive(name);
        StoreEntry? living = await store.FindAsync(alive, cancellation).ConfigureAwait(false);
        if (living is not null && !force)
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"the node '{name}' is alive: its lease is renewed; stop overlayd there first, or use --force");
        // With its document gone, nothing is leased to it: what it has then is all there is to free.
        ChangePlan plan = new ChangePlan { Rest = () => Left(name) }.Delete(entry);
        if (living is not null) plan.Delete(living);
        else plan.Require(alive, null);
        AddBelongings(plan, name);
        if (living is not null) plan.Warnings.Add($"overlayd on '{name}' registers again as long as it runs");
        return plan;
    }

    /// <summary>Frees what a node has that is not registered.</summary>
    private ChangePlan Left(string name)
    {
        string key = StateKeys.Node(name);
        ChangePlan plan = new ChangePlan { Rest = () => Left(name) }.Require(key, null);
        if (cache.Find(key) is null) AddBelongings(plan, name);
        else plan.Warnings.Add($"'{name}' registered again meanwhile, and keeps what it still has");
        return plan;
    }

    private void AddBelongings(ChangePlan plan, string name)
    {
        foreach (StoreEntry each in cache.List("state/blocks/"))
        {
            BlockDocument block = StateDocuments.Block(each);
            if (block.Holder == name) plan.Put(each.Key, each, StateDocuments.Encode(block.Freed(DateTimeOffset.UtcNow)));
        }
        foreach (StoreEntry wish in cache.List("state/wishes/").Where(each => StateDocuments.Wish(each).Node == name)) plan.Delete(wish);
        foreach (StoreEntry route in cache.List("state/routes/").Where(each => StateDocuments.Route(each).Node == name)) plan.Delete(route);
    }

    private async Task<StoreEntry> FindAsync(string name, CancellationToken cancellation) =>
        await store.FindAsync(StateKeys.Node(Requests.Name("node", name)), cancellation).ConfigureAwait(false) ?? throw NotThere(name);

    private static GrpcException NotThere(string name) => new(GrpcStatusCode.NotFound, $"there is no node '{name}'; 'overlay node list' lists them");
}
