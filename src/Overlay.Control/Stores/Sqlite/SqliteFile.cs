using System.Globalization;
using Microsoft.Data.Sqlite;

namespace Overlay.Control.Stores.Sqlite;

/// <summary>The database file: how it is opened and what tables it has.</summary>
internal static class SqliteFile
{
    public const int BusySeconds = 10;

    private const int ApplicationId = 0x4f76_6c79;
    private const int Version = 1;

    private const string Tables =
        """
        CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO state VALUES ('revision', 1), ('compacted', 0), ('lease', 0);
        CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, created INTEGER NOT NULL, revision INTEGER NOT NULL, lease INTEGER NOT NULL) WITHOUT ROWID;
        CREATE INDEX entries_of_lease ON entries (lease) WHERE lease <> 0;
        CREATE TABLE history (revision INTEGER NOT NULL, key TEXT NOT NULL, value BLOB, created INTEGER NOT NULL, PRIMARY KEY (revision, key)) WITHOUT ROWID;
        CREATE INDEX history_of_key ON history (key, revision);
        CREATE TABLE leases (id INTEGER PRIMARY KEY, milliseconds INTEGER NOT NULL, boot TEXT NOT NULL, deadline INTEGER NOT NULL);
        """;

    /// <summary>Opens a connection of its own or from the pool.</summary>
    public static SqliteConnection Open(string file, bool pooled)
    {
        var connection = new SqliteConnection(new SqliteConnectionStringBuilder
        {
            DataSource = file,
            Pooling = pooled,
            DefaultTimeout = BusySeconds,
        }.ToString());
        try
        {
            connection.Open();
            Execute(connection, $"PRAGMA busy_timeout = {BusySeconds * 1000}; PRAGMA synchronous = FULL");
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Makes the tables in a new file, and checks those of an old one.</summary>
    /// <exception cref="StoreException">The file is another program's or a newer version's.</exception>
    public static void Prepare(SqliteConnection connection, string file)
    {
        // Another process that opens the file for the first time too holds it for a moment without waiting.
        if (!string.Equals((string?)Scalar(connection, "PRAGMA journal_mode = WAL"), "wal", StringComparison.OrdinalIgnoreCase))
            throw new StoreException($"{file} cannot have a write-ahead log: keep it on a local file system");
        Execute(connection, "BEGIN IMMEDIATE");
        long version = (long)Scalar(connection, "PRAGMA user_version")!;
        long application = (long)Scalar(connection, "PRAGMA application_id")!;
        long tables = (long)Scalar(connection, "SELECT count(*) FROM sqlite_master")!;
        if (version == 0 && application == 0 && tables == 0)
        {
            Execute(connection, Tables);
            Execute(connection, string.Create(CultureInfo.InvariantCulture, $"PRAGMA application_id = {ApplicationId}; PRAGMA user_version = {Version}"));
        }
        else if (application != ApplicationId)
        {
            throw new StoreException($"{file} is a database of another program: name another file");
        }
        else if (version != Version)
        {
            throw new StoreException($"{file} has version {version}, and this controller knows {Version}: use the controller that wrote it, or a newer one");
        }
        Execute(connection, "COMMIT");
    }

    public static void Execute(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    public static object? Scalar(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }
}
