namespace Overlay.Control.Stores;

/// <summary>
/// Where the network's state is kept: keys with values, every change a transaction of its own revision. Any number of processes share one
/// store, each through an instance of its own, which any number of threads may use.
/// </summary>
/// <remarks>
/// Every member throws <see cref="StoreException"/> when the store cannot be reached, is full or is damaged. Other failures are results.
/// </remarks>
public interface IControlStore : IAsyncDisposable
{
    /// <summary>Where the store is, for messages.</summary>
    string Name { get; }

    /// <summary>The entries whose keys begin with a prefix, in the order of their keys, all of one revision.</summary>
    /// <param name="revision">The revision to read at; null: the newest.</param>
    /// <returns>Null: that revision was compacted away.</returns>
    Task<StoreRange?> ReadAsync(string prefix, long? revision, CancellationToken cancellation);

    /// <summary>
    /// Applies all writes of a transaction if all its conditions hold, or none. Never applies it twice, whatever fails on the way; where a
    /// <see cref="StoreException"/> says <see cref="StoreException.IsOutcomeUnknown"/>, it was applied once or not at all.
    /// </summary>
    Task<CommitResult> CommitAsync(StoreTransaction transaction, CancellationToken cancellation);

    /// <summary>
    /// The changes to keys that begin with a prefix, in the order of their revisions and each revision whole, without an end. If changes
    /// after the revision were compacted away, the one element is <see cref="StoreChange.StartOver"/>.
    /// </summary>
    /// <param name="after">The revision that the caller knows already.</param>
    IAsyncEnumerable<StoreChange> WatchAsync(string prefix, long after, CancellationToken cancellation);

    /// <summary>A lease: keys put under it are deleted when it has not been renewed for its time.</summary>
    /// <param name="time">At least a second, in whole seconds.</param>
    Task<long> GrantLeaseAsync(TimeSpan time, CancellationToken cancellation);

    /// <returns>False: the lease ran out or was revoked.</returns>
    Task<bool> RenewLeaseAsync(long lease, CancellationToken cancellation);

    /// <summary>Ends a lease and deletes its keys. Nothing happens if it has ended already.</summary>
    Task RevokeLeaseAsync(long lease, CancellationToken cancellation);

    /// <summary>Forgets what was before a revision. Nothing happens if it is forgotten already, or is not there yet.</summary>
    Task CompactAsync(long revision, CancellationToken cancellation);
}
