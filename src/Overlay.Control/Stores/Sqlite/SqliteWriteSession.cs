using Microsoft.Data.Sqlite;

namespace Overlay.Control.Stores.Sqlite;

/// <summary>The statements of the writer's connection, prepared once. Used by the writer's thread, within a transaction of SQLite's.</summary>
internal sealed class SqliteWriteSession : IDisposable
{
    private readonly BootClock _clock;
    private readonly SqliteConnection _connection;
    private readonly SqliteCommand _readState;
    private readonly SqliteCommand _writeState;
    private readonly SqliteCommand _find;
    private readonly SqliteCommand _put;
    private readonly SqliteCommand _delete;
    private readonly SqliteCommand _record;
    private readonly SqliteCommand _keysOfLease;
    private readonly SqliteCommand _renew;

    public SqliteWriteSession(SqliteConnection connection, BootClock clock)
    {
        _connection = connection;
        _clock = clock;
        _readState = Prepare("SELECT value FROM state WHERE name = $name", "$name");
        _writeState = Prepare("UPDATE state SET value = $value WHERE name = $name", "$value", "$name");
        _find = Prepare("SELECT created, revision FROM entries WHERE key = $key", "$key");
        _put = Prepare("INSERT OR REPLACE INTO entries VALUES ($key, $value, $created, $revision, $lease)", "$key", "$value", "$created", "$revision", "$lease");
        _delete = Prepare("DELETE FROM entries WHERE key = $key", "$key");
        _record = Prepare("INSERT INTO history VALUES ($revision, $key, $value, $created)", "$revision", "$key", "$value", "$created");
        _keysOfLease = Prepare("SELECT key FROM entries WHERE lease = $lease AND lease <> 0", "$lease");
        _renew = Prepare("UPDATE leases SET boot = $boot, deadline = $now + milliseconds WHERE id = $id", "$id", "$boot", "$now");
    }

    public CommitResult Commit(StoreTransaction transaction)
    {
        long now = State("revision");
        foreach (StoreCondition condition in transaction.Conditions)
        {
            if (Find(condition.Key).Revision != condition.Revision) return new CommitResult(CommitStatus.Conflict, now);
        }
        foreach (StoreWrite write in transaction.Writes)
        {
            if (write.Lease != 0 && !HasLease(write.Lease)) return new CommitResult(CommitStatus.LeaseGone, now);
        }
        return new CommitResult(CommitStatus.Committed, Write(transaction.Writes, now));
    }

    public long GrantLease(long milliseconds)
    {
        long id = State("lease") + 1;
        SetState("lease", id);
        Run("INSERT INTO leases VALUES ($id, $milliseconds, $boot, $deadline)",
            ("$id", id), ("$milliseconds", milliseconds), ("$boot", _clock.Boot), ("$deadline", _clock.Milliseconds + milliseconds));
        return id;
    }

    /// <returns>Those that live.</returns>
    public HashSet<long> RenewLeases(IEnumerable<long> ids) => [.. ids.Where(id => Set(_renew, id, _clock.Boot, _clock.Milliseconds) > 0)];

    /// <summary>
    /// Gives every lease its whole time again: while no controller ran, or the host was down, nobody could renew one.
    /// </summary>
    public void RenewAllLeases() => Run(
        "UPDATE leases SET boot = $boot, deadline = $now + milliseconds", ("$boot", _clock.Boot), ("$now", _clock.Milliseconds));

    /// <summary>Whether a lease has run out; a look only.</summary>
    public bool HasEndedLeases() => EndedLeases().Count > 0;

    public void EndLeases()
    {
        foreach (long id in EndedLeases()) RevokeLease(id);
    }

    public void RevokeLease(long id)
    {
        var writes = new List<StoreWrite>();
        _keysOfLease.Parameters[0].Value = id;
        using (SqliteDataReader reader = _keysOfLease.ExecuteReader())
        {
            while (reader.Read()) writes.Add(new StoreWrite(reader.GetString(0), null, 0));
        }
        Write(writes, State("revision"));
        Run("DELETE FROM leases WHERE id = $id", ("$id", id));
    }

    public void Compact(long revision)
    {
        if (revision <= State("compacted") || revision > State("revision")) return;
        SetState("compacted", revision);
        // What is needed at the revision itself stays: the newest value of each key that had one then.
        Run(
            """
            DELETE FROM history WHERE revision <= $revision AND (value IS NULL OR EXISTS (
              SELECT 1 FROM history AS later WHERE later.key = history.key AND later.revision > history.revision AND later.revision <= $revision))
            """,
            ("$revision", revision));
    }

    public void Dispose()
    {
        foreach (SqliteCommand command in new[] { _readState, _writeState, _find, _put, _delete, _record, _keysOfLease, _renew }) command.Dispose();
    }

    private long Write(IReadOnlyList<StoreWrite> writes, long now)
    {
        long revision = now + 1;
        bool changed = false;
        foreach (StoreWrite write in writes)
        {
            (long created, long before) = Find(write.Key);
            if (write.Value is null && before == 0) continue;
            changed = true;
            if (created == 0) created = revision;
            byte[]? value = write.Value?.ToArray();
            if (value is null) Set(_delete, write.Key);
            else Set(_put, write.Key, value, created, revision, write.Lease);
            Set(_record, revision, write.Key, value ?? (object)DBNull.Value, created);
        }
        if (!changed) return now;
        SetState("revision", revision);
        return revision;
    }

    private (long Created, long Revision) Find(string key)
    {
        _find.Parameters[0].Value = key;
        using SqliteDataReader reader = _find.ExecuteReader();
        return reader.Read() ? (reader.GetInt64(0), reader.GetInt64(1)) : (0, 0);
    }

    private bool HasLease(long id)
    {
        using SqliteCommand command = Command("SELECT count(*) FROM leases WHERE id = $id", ("$id", id));
        return (long)command.ExecuteScalar()! > 0;
    }

    private List<long> EndedLeases()
    {
        using SqliteCommand command = Command(
            "SELECT id FROM leases WHERE boot = $boot AND deadline < $now", ("$boot", _clock.Boot), ("$now", _clock.Milliseconds));
        using SqliteDataReader reader = command.ExecuteReader();
        var ended = new List<long>();
        while (reader.Read()) ended.Add(reader.GetInt64(0));
        return ended;
    }

    private long State(string name)
    {
        _readState.Parameters[0].Value = name;
        return (long)_readState.ExecuteScalar()!;
    }

    private void SetState(string name, long value) => Set(_writeState, value, name);

    private static int Set(SqliteCommand command, params ReadOnlySpan<object> values)
    {
        for (int i = 0; i < values.Length; i++) command.Parameters[i].Value = values[i];
        return command.ExecuteNonQuery();
    }

    private int Run(string sql, params (string Name, object Value)[] parameters)
    {
        using SqliteCommand command = Command(sql, parameters);
        return command.ExecuteNonQuery();
    }

    private SqliteCommand Command(string sql, params (string Name, object Value)[] parameters)
    {
        SqliteCommand command = Prepare(sql);
        foreach ((string name, object value) in parameters) command.Parameters.AddWithValue(name, value);
        return command;
    }

    private SqliteCommand Prepare(string sql, params string[] parameters)
    {
        SqliteCommand command = _connection.CreateCommand();
        command.CommandText = sql;
        foreach (string name in parameters) command.Parameters.Add(new SqliteParameter { ParameterName = name });
        return command;
    }
}
