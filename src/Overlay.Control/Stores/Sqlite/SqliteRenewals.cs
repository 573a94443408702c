namespace Overlay.Control.Stores.Sqlite;

/// <summary>Renews leases, those of many callers in one transaction: they come all the time, and none is in a hurry.</summary>
internal sealed class SqliteRenewals(SqliteWriter writer)
{
    /// <summary>How long a renewal waits for others; little, beside the time of any lease.</summary>
    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private Round? _open;

    private sealed class Round
    {
        public List<long> Leases { get; } = [];

        /// <summary>Those of them that live.</summary>
        public TaskCompletionSource<HashSet<long>> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <returns>False: the lease ran out or was revoked.</returns>
    public async Task<bool> RenewAsync(long lease, CancellationToken cancellation)
    {
        Round round;
        lock (_lock)
        {
            if (_open is null)
            {
                _open = new Round();
                _ = RunAsync(_open);
            }
            round = _open;
            round.Leases.Add(lease);
        }
        return (await round.Done.Task.WaitAsync(cancellation).ConfigureAwait(false)).Contains(lease);
    }

    private async Task RunAsync(Round round)
    {
        await Task.Delay(Gathering).ConfigureAwait(false);
        lock (_lock) _open = null;
        try
        {
            round.Done.SetResult(await writer.WriteAsync(session => session.RenewLeases(round.Leases), CancellationToken.None).ConfigureAwait(false));
        }
        catch (Exception exception) when (exception is StoreException or ObjectDisposedException)
        {
            round.Done.SetException(exception);
        }
    }
}
