using System.Runtime.CompilerServices;
using Microsoft.Data.Sqlite;

namespace Overlay.Control.Stores.Sqlite;

/// <summary>
/// The store in one SQLite file: write-ahead log, flushed at each commit. Several processes of one host may share the file; one that
/// changed it is noticed by the others within <see cref="PollInterval"/>.
/// </summary>
public sealed class SqliteStore : IControlStore
{
    /// <summary>How often a watcher looks for commits of other processes.</summary>
    public static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(25);

    private const int WatchLimit = 4096;

    private readonly string _file;
    private readonly SqliteWriter _writer;
    private readonly SqliteRenewals _renewals;
    private readonly SqliteCommitSignal _signal;

    /// <summary>Opens the file, and makes it where there is none.</summary>
    /// <param name="time">Runs the leases; the system's, but for tests.</param>
    /// <exception cref="StoreException">It cannot be opened or is no store.</exception>
    public SqliteStore(string file, TimeProvider? time = null)
    {
        _file = Path.GetFullPath(file);
        _signal = new SqliteCommitSignal(_file);
        _writer = new SqliteWriter(_file, new BootClock(time ?? TimeProvider.System), _signal.Notify);
        _renewals = new SqliteRenewals(_writer);
    }

    public string Name => $"sqlite {_file}";

    public Task<StoreRange?> ReadAsync(string prefix, long? revision, CancellationToken cancellation) =>
        Query(connection => Read(connection, prefix, revision), cancellation);

    public Task<CommitResult> CommitAsync(StoreTransaction transaction, CancellationToken cancellation) =>
        _writer.WriteAsync(session => session.Commit(transaction), cancellation);

    public async IAsyncEnumerable<StoreChange> WatchAsync(
        string prefix, long after, [EnumeratorCancellation] CancellationToken cancellation)
    {
        while (true)
        {
            Task changed = _signal.Next;
            (List<StoreChange> changes, long upTo, bool startOver) =
                await Query(connection => ReadChanges(connection, prefix, after), cancellation).ConfigureAwait(false);
            if (startOver)
            {
                yield return StoreChange.StartOver;
                yield break;
            }
            foreach (StoreChange change in changes) yield return change;
            bool more = upTo > after;
            after = upTo;
            if (!more) await _signal.WaitAsync(changed, cancellation).ConfigureAwait(false);
        }
    }

    public Task<long> GrantLeaseAsync(TimeSpan time, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(time, TimeSpan.FromSeconds(1));
        return _writer.WriteAsync(session => session.GrantLease((long)time.TotalMilliseconds), cancellation);
    }

    public Task<bool> RenewLeaseAsync(long lease, CancellationToken cancellation) =>
        _renewals.RenewAsync(lease, cancellation);

    public Task RevokeLeaseAsync(long lease, CancellationToken cancellation) => _writer.WriteAsync(
        session =>
        {
            session.RevokeLease(lease);
            return true;
        },
        cancellation);

    public Task CompactAsync(long revision, CancellationToken cancellation) => _writer.WriteAsync(
        session =>
        {
            session.Compact(revision);
            return true;
        },
        cancellation);

    public ValueTask DisposeAsync()
    {
        _writer.Dispose();
        _signal.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>SQLite's calls block, so they leave the caller's thread.</summary>
    private Task<T> Query<T>(Func<SqliteConnection, T> query, CancellationToken cancellation) => Task.Run(
        () =>
        {
            try
            {
                using SqliteConnection connection = SqliteFile.Open(_file, pooled: true);
                using SqliteTransaction snapshot = connection.BeginTransaction(deferred: true);
                return query(connection);
            }
            catch (SqliteException error)
            {
                throw SqliteErrors.Translate(error, _file, false);
            }
        },
        cancellation);

    private static StoreRange? Read(SqliteConnection connection, string prefix, long? at)
    {
        long newest = State(connection, "revision");
        long revision = at ?? newest;
        if (revision > newest) throw new StoreException($"{connection.DataSource} is at revision {newest}, and {revision} is not there yet");
        if (revision < State(connection, "compacted")) return null;
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = revision >= newest
            ? "SELECT key, value, created, revision FROM entries WHERE key >= $from AND key < $end ORDER BY key"
            : """
              SELECT key, value, created, max(revision) FROM history
              WHERE key >= $from AND key < $end AND revision <= $revision GROUP BY key ORDER BY key
              """;
        AddRange(command, prefix);
        command.Parameters.AddWithValue("$revision", revision);
        using SqliteDataReader reader = command.ExecuteReader();
        var entries = new List<StoreEntry>();
        while (reader.Read())
        {
            if (Entry(reader) is { } entry) entries.Add(entry);
        }
        return new StoreRange(revision, entries);
    }

    private static (List<StoreChange> Changes, long UpTo, bool StartOver) ReadChanges(SqliteConnection connection, string prefix, long after)
    {
        var changes = new List<StoreChange>();
        long newest = State(connection, "revision");
        // A revision that is not there yet was lost to a backup that was restored.
        if (after < State(connection, "compacted") || after > newest) return (changes, after, true);
        long upTo = Math.Min(newest, after + WatchLimit);
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText =
            """
            SELECT key, value, created, revision FROM history
            WHERE revision > $after AND revision <= $upTo AND key >= $from AND key < $end ORDER BY revision, key
            """;
        AddRange(command, prefix);
        command.Parameters.AddWithValue("$after", after);
        command.Parameters.AddWithValue("$upTo", upTo);
        using SqliteDataReader reader = command.ExecuteReader();
        List<StoreEvent> events = [];
        while (reader.Read())
        {
            long revision = reader.GetInt64(3);
            if (changes.Count == 0 || changes[^1].Revision != revision) changes.Add(new StoreChange(revision, events = []));
            events.Add(new StoreEvent(reader.GetString(0), Entry(reader)));
        }
        return (changes, upTo, false);
    }

    private static StoreEntry? Entry(SqliteDataReader reader) => reader.IsDBNull(1)
        ? null
        : new StoreEntry(reader.GetString(0), reader.GetFieldValue<byte[]>(1), reader.GetInt64(2), reader.GetInt64(3));

    private static void AddRange(SqliteCommand command, string prefix)
    {
        command.Parameters.AddWithValue("$from", prefix);
        command.Parameters.AddWithValue("$end", StoreKeys.End(prefix));
    }

    private static long State(SqliteConnection connection, string name) =>
        (long)SqliteFile.Scalar(connection, $"SELECT value FROM state WHERE name = '{name}'")!;
}
