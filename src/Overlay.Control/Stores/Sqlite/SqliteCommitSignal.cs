using System.Diagnostics;
using Microsoft.Data.Sqlite;

namespace Overlay.Control.Stores.Sqlite;

/// <summary>Tells watchers that something was committed: by this process at once, by others when the file's counter is next looked at.</summary>
internal sealed class SqliteCommitSignal(string file) : IDisposable
{
    private readonly Lock _lock = new();
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SqliteConnection? _connection;
    private long _version;
    private long _lookedAt;

    /// <summary>Ends with the first commit after it was asked for.</summary>
    public Task Next => Volatile.Read(ref _next).Task;

    public void Notify() =>
        Interlocked.Exchange(ref _next, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();

    /// <param name="next">From <see cref="Next"/>, before the caller looked at the store.</param>
    public async Task WaitAsync(Task next, CancellationToken cancellation)
    {
        while (!next.IsCompleted)
        {
            Look();
            try
            {
                await next.WaitAsync(SqliteStore.PollInterval, cancellation).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                // Another look is due.
            }
        }
    }

    public void Dispose() => _connection?.Dispose();

    private void Look()
    {
        lock (_lock)
        {
            // One look serves all watchers of this process.
            if (_connection is not null && Stopwatch.GetElapsedTime(_lookedAt) < SqliteStore.PollInterval / 2) return;
            try
            {
                bool first = _connection is null;
                _connection ??= SqliteFile.Open(file, pooled: false);
                long version = (long)SqliteFile.Scalar(_connection, "PRAGMA data_version")!;
                _lookedAt = Stopwatch.GetTimestamp();
                if (!first && version == _version) return;
                _version = version;
            }
            catch (SqliteException error)
            {
                _connection?.Dispose();
                _connection = null;
                throw SqliteErrors.Translate(error, file, false);
            }
        }
        Notify();
    }
}
