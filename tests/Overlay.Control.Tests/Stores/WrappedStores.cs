using System.Runtime.CompilerServices;
using Overlay.Control.Stores;

namespace Overlay.Control.Tests.Stores;

/// <summary>A store that passes everything on.</summary>
internal abstract class WrappedStore(IControlStore inner) : IControlStore
{
    public string Name => inner.Name;

    public virtual Task<CommitResult> CommitAsync(StoreTransaction transaction, CancellationToken cancellation) => inner.CommitAsync(transaction, cancellation);

    public virtual Task<StoreRange?> ReadAsync(string prefix, long? revision, CancellationToken cancellation) => inner.ReadAsync(prefix, revision, cancellation);

    public async IAsyncEnumerable<StoreChange> WatchAsync(string prefix, long after, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (StoreChange change in inner.WatchAsync(prefix, after, cancellation)) yield return change;
    }

    public Task<long> GrantLeaseAsync(TimeSpan time, CancellationToken cancellation) => inner.GrantLeaseAsync(time, cancellation);

    public Task<bool> RenewLeaseAsync(long lease, CancellationToken cancellation) => inner.RenewLeaseAsync(lease, cancellation);

    public Task RevokeLeaseAsync(long lease, CancellationToken cancellation) => inner.RevokeLeaseAsync(lease, cancellation);

    public Task CompactAsync(long revision, CancellationToken cancellation) => inner.CompactAsync(revision, cancellation);

    public ValueTask DisposeAsync() => inner.DisposeAsync();
}

/// <summary>A store whose process dies at some commits: before the transaction, or after it and before the answer.</summary>
internal sealed class CrashingStore(IControlStore inner, Random random) : WrappedStore(inner)
{
    public override async Task<CommitResult> CommitAsync(StoreTransaction transaction, CancellationToken cancellation)
    {
        int fate = random.Next(8);
        if (fate == 0) throw new StoreException("died before the commit", isOutcomeUnknown: true);
        CommitResult result = await base.CommitAsync(transaction, cancellation);
        return fate == 1 ? throw new StoreException("died after the commit", isOutcomeUnknown: true) : result;
    }
}

/// <summary>A store whose process dies at one certain commit.</summary>
/// <param name="at">Its number, from 0.</param>
/// <param name="isDone">Whether it is made, and only its answer lost.</param>
internal sealed class DyingStore(IControlStore inner, int at, bool isDone) : WrappedStore(inner)
{
    /// <summary>Those that were begun.</summary>
    public int Commits { get; private set; }

    public override async Task<CommitResult> CommitAsync(StoreTransaction transaction, CancellationToken cancellation)
    {
        bool dies = Commits++ == at;
        if (!dies || isDone)
        {
            CommitResult result = await base.CommitAsync(transaction, cancellation);
            if (!dies) return result;
        }
        throw new StoreException($"died {(isDone ? "after" : "before")} the commit", isOutcomeUnknown: true);
    }
}

/// <summary>Counts how often all blocks of a network are read.</summary>
internal sealed class CountingStore(IControlStore inner) : WrappedStore(inner)
{
    private int _readingsOfBlocks;

    public int ReadingsOfBlocks => Volatile.Read(ref _readingsOfBlocks);

    public override Task<StoreRange?> ReadAsync(string prefix, long? revision, CancellationToken cancellation)
    {
        if (prefix.StartsWith("state/blocks/", StringComparison.Ordinal) && prefix.EndsWith('/')) Interlocked.Increment(ref _readingsOfBlocks);
        return base.ReadAsync(prefix, revision, cancellation);
    }
}
