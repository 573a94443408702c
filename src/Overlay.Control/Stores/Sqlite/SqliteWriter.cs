using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Data.Sqlite;

namespace Overlay.Control.Stores.Sqlite;

/// <summary>
/// Writes for all callers of a process: one thread, which puts everything that waits into one transaction of SQLite's, so that many
/// callers share one flush of the disk. Each caller's transaction has a revision of its own nevertheless.
/// </summary>
internal sealed class SqliteWriter : IDisposable
{
    private const int MostTogether = 256;

    /// <summary>How late the end of a lease may be noticed.</summary>
    private static readonly TimeSpan LeaseInterval = TimeSpan.FromMilliseconds(250);

    private readonly string _file;
    private readonly BootClock _clock;
    private readonly Action _committed;
    private readonly BlockingCollection<Request> _requests = [];
    private readonly Thread _thread;
    private SqliteConnection? _connection;
    private SqliteWriteSession? _session;

    /// <param name="committed">Called after each commit, by the writer's thread.</param>
    public SqliteWriter(string file, BootClock clock, Action committed)
    {
        _file = file;
        _clock = clock;
        _committed = committed;
        try
        {
            Open();
            Transact(_session!.RenewAllLeases);
        }
        catch (SqliteException error)
        {
            Close();
            throw SqliteErrors.Translate(error, file, false);
        }
        catch (StoreException)
        {
            Close();
            throw;
        }
        _thread = new Thread(Run) { Name = "sqlite-writer", IsBackground = true };
        _thread.Start();
    }

    private abstract class Request
    {
        public abstract void Apply(SqliteWriteSession session);

        public abstract void Complete();

        public abstract void Fail(StoreException cause);
    }

    private sealed class Request<T>(Func<SqliteWriteSession, T> action) : Request
    {
        private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private T? _result;

        public Task<T> Done => _done.Task;

        public override void Apply(SqliteWriteSession session) => _result = action(session);

        public override void Complete() => _done.TrySetResult(_result!);

        public override void Fail(StoreException cause) => _done.TrySetException(cause);
    }

    /// <summary>Runs an action of the writer's thread; done when it is on the disk.</summary>
    public async Task<T> WriteAsync<T>(Func<SqliteWriteSession, T> action, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var request = new Request<T>(action);
        try
        {
            _requests.Add(request, cancellation);
        }
        catch (InvalidOperationException)
        {
            throw new ObjectDisposedException(nameof(SqliteStore));
        }
        return await request.Done.WaitAsync(cancellation).ConfigureAwait(false);
    }

    public void Dispose()
    {
        _requests.CompleteAdding();
        _thread.Join();
        _requests.Dispose();
        Close();
    }

    private void Run()
    {
        var batch = new List<Request>();
        long nextLook = 0;
        while (!_requests.IsCompleted)
        {
            if (_requests.TryTake(out Request? first, LeaseInterval))
            {
                batch.Add(first);
                while (batch.Count < MostTogether && _requests.TryTake(out Request? next)) batch.Add(next);
                Serve(batch);
                batch.Clear();
            }
            long now = Stopwatch.GetTimestamp();
            if (now < nextLook) continue;
            nextLook = now + LeaseInterval.Ticks * Stopwatch.Frequency / TimeSpan.TicksPerSecond;
            EndLeases();
        }
    }

    private void Serve(List<Request> batch)
    {
        bool committing = false;
        try
        {
            Open();
            SqliteFile.Execute(_connection!, "BEGIN IMMEDIATE");
            foreach (Request request in batch) request.Apply(_session!);
            committing = true;
            SqliteFile.Execute(_connection!, "COMMIT");
            _committed();
            foreach (Request request in batch) request.Complete();
        }
        catch (SqliteException error)
        {
            // A connection that failed may be in any state: the next write opens another.
            Close();
            StoreException cause = SqliteErrors.Translate(error, _file, committing);
            foreach (Request request in batch) request.Fail(cause);
        }
        catch (StoreException cause)
        {
            Close();
            foreach (Request request in batch) request.Fail(cause);
        }
    }

    private void EndLeases()
    {
        try
        {
            Open();
            if (!_session!.HasEndedLeases()) return;
            Transact(_session.EndLeases);
            _committed();
        }
        catch (Exception error) when (error is SqliteException or StoreException)
        {
            // Whoever writes next is told; leases only last longer meanwhile.
            Close();
        }
    }

    private void Transact(Action action)
    {
        SqliteFile.Execute(_connection!, "BEGIN IMMEDIATE");
        action();
        SqliteFile.Execute(_connection!, "COMMIT");
    }

    private void Open()
    {
        if (_connection is not null) return;
        _connection = SqliteFile.Open(_file, pooled: false);
        SqliteFile.Prepare(_connection, _file);
        _session = new SqliteWriteSession(_connection, _clock);
    }

    private void Close()
    {
        _session?.Dispose();
        _connection?.Dispose();
        _session = null;
        _connection = null;
    }
}
