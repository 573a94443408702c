using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;

namespace Overlay.Controller;

/// <summary>What an administrator's request changes. Each key is demanded to be as the plan found it.</summary>
internal sealed class ChangePlan
{
    private readonly List<(string Key, long Revision, byte[]? Value)> _writes = [];
    private readonly List<(string Key, long Revision)> _conditions = [];

    public List<string> Warnings { get; } = [];

    public ChangePlan Put(string key, StoreEntry? known, byte[] value)
    {
        _writes.Add((key, known?.Revision ?? 0, value));
        return this;
    }

    public ChangePlan Delete(StoreEntry known)
    {
        _writes.Add((known.Key, known.Revision, null));
        return this;
    }

    /// <summary>Demands that a key stays as it is.</summary>
    public ChangePlan Require(string key, StoreEntry? known)
    {
        _conditions.Add((key, known?.Revision ?? 0));
        return this;
    }

    /// <summary>Makes the changes, or only says which they are.</summary>
    /// <returns>Null: something changed meanwhile, and nothing of the rest was done; a new plan is needed.</returns>
    public async Task<ChangeResponse?> ApplyAsync(IControlStore store, StateCache cache, bool dryRun, CancellationToken cancellation)
    {
        var response = new ChangeResponse { Warnings = { Warnings } };
        foreach ((string key, _, byte[]? value) in _writes.Where(write => write.Key.StartsWith(StateKeys.State, StringComparison.Ordinal)))
            response.Changes.Add(StateMessages.Of(key, value is null ? null : new StoreEntry(key, value, 0, 0)));
        if (dryRun) return response;
        foreach ((string Key, long Revision, byte[]? Value)[] part in _writes.Chunk(StoreTransaction.MostWrites / 2))
        {
            var transaction = new StoreTransaction();
            foreach ((string key, long revision) in _conditions) transaction.Require(key, revision);
            foreach ((string key, long revision, byte[]? value) in part)
            {
                transaction.Require(key, revision);
                if (value is null) transaction.Delete(key);
                else transaction.Put(key, value);
            }
            // What the first part changes, later ones cannot demand to be unchanged.
            _conditions.Clear();
            CommitResult result = await store.CommitAsync(transaction, cancellation).ConfigureAwait(false);
            if (!result.IsCommitted) return null;
            response.Revision = result.Revision;
        }
        await cache.WaitAsync(response.Revision, cancellation).ConfigureAwait(false);
        return response;
    }

    /// <summary>Plans and applies until nothing came in between.</summary>
    public static async Task<ChangeResponse> RunAsync(
        IControlStore store, StateCache cache, bool dryRun, Func<Task<ChangePlan>> plan, CancellationToken cancellation)
    {
        for (int attempt = 0; attempt < 20; attempt++)
        {
            ChangePlan next = await plan().ConfigureAwait(false);
            if (await next.ApplyAsync(store, cache, dryRun, cancellation).ConfigureAwait(false) is { } response) return response;
        }
        throw new GrpcException(GrpcStatusCode.Aborted, "the state changed again and again meanwhile; repeat the command");
    }
}
