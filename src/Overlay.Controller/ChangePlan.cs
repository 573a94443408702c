using Overlay.Control;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;

namespace Overlay.Controller;

/// <summary>What an administrator's request changes. Each key is demanded to be as the plan found it.</summary>
internal sealed class ChangePlan
{
    private const int MostConflicts = 20;

    private static readonly BackOff BetweenPlans = new(TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(200));

    private readonly List<(string Key, long Revision, byte[]? Value)> _writes = [];
    private readonly List<(string Key, long Revision)> _conditions = [];

    public List<string> Warnings { get; } = [];

    public bool IsEmpty => _writes.Count == 0;

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

    /// <summary>
    /// What is left to do once this is done and known, by a plan that is empty when nothing is. A plan of more than one transaction has it: the first one's end
    /// makes sure that nothing comes to what is left, so that it may be done by and by, and by a later call where this one is cut short.
    /// </summary>
    public Func<ChangePlan>? Rest { get; init; }

    /// <summary>Plans and makes changes until nothing came in between, or only says which they are.</summary>
    public static async Task<ChangeResponse> RunAsync(
        IControlStore store, StateCache cache, bool dryRun, Func<Task<ChangePlan>> plan, CancellationToken cancellation)
    {
        var response = new ChangeResponse();
        Func<Task<ChangePlan>>? next = plan;
        int conflicts = 0;
        while (next is not null)
        {
            ChangePlan current = await next().ConfigureAwait(false);
            foreach (string warning in current.Warnings.Where(warning => !response.Warnings.Contains(warning))) response.Warnings.Add(warning);
            if (dryRun)
            {
                response.Changes.Add(Told(current._writes));
                return response;
            }
            if (current._writes.Count == 0) break;
            (string Key, long Revision, byte[]? Value)[] part = [.. current._writes.Take(StoreTransaction.MostWrites)];
            if (part.Length < current._writes.Count && current.Rest is null) throw new InvalidOperationException($"{current._writes.Count} changes, and no plan for the rest");
            CommitResult result = await store.CommitAsync(current.Transaction(part), cancellation).ConfigureAwait(false);
            if (!result.IsCommitted)
            {
                if (++conflicts == MostConflicts) throw new GrpcException(GrpcStatusCode.Aborted, "the state changed again and again meanwhile; repeat the command");
                // What the plan was made of may not be known here yet.
                await BetweenPlans.WaitAsync(conflicts, cancellation).ConfigureAwait(false);
                continue;
            }
            response.Changes.Add(Told(part));
            response.Revision = result.Revision;
            await cache.WaitAsync(result.Revision, cancellation).ConfigureAwait(false);
            next = current.Rest is { } rest ? () => Task.FromResult(rest()) : null;
        }
        return response;
    }

    private static IEnumerable<Change> Told(IEnumerable<(string Key, long Revision, byte[]? Value)> writes) =>
        writes.Where(write => write.Key.StartsWith(StateKeys.State, StringComparison.Ordinal))
            .Select(write => StateMessages.Of(write.Key, write.Value is null ? null : new StoreEntry(write.Key, write.Value, 0, 0)));

    private StoreTransaction Transaction(IEnumerable<(string Key, long Revision, byte[]? Value)> writes)
    {
        var transaction = new StoreTransaction();
        foreach ((string key, long revision) in _conditions) transaction.Require(key, revision);
        foreach ((string key, long revision, byte[]? value) in writes)
        {
            transaction.Require(key, revision);
            if (value is null) transaction.Delete(key);
            else transaction.Put(key, value);
        }
        return transaction;
    }
}
