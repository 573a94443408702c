using Microsoft.Data.Sqlite;

namespace Overlay.Control.Stores.Sqlite;

/// <summary>What SQLite's errors mean to whoever runs the controller.</summary>
internal static class SqliteErrors
{
    // Result codes of SQLite's C interface.
    public const int Busy = 5;
    public const int Locked = 6;
    private const int ReadOnly = 8;
    private const int InputOutput = 10;
    private const int Corrupt = 11;
    private const int Full = 13;
    private const int CannotOpen = 14;
    private const int NotADatabase = 26;

    /// <param name="whileCommitting">Whether the failure may have come after the last byte was written.</param>
    public static StoreException Translate(SqliteException error, string file, bool whileCommitting)
    {
        string message = error.SqliteErrorCode switch
        {
            Full => $"the disk of {file} is full, and nothing was changed: make room, then repeat",
            Busy or Locked => $"{file} is locked by another process for longer than {SqliteFile.BusySeconds} s: find it with 'fuser {file}'",
            Corrupt => $"{file} is damaged: stop every controller and restore it from a backup",
            NotADatabase => $"{file} is no SQLite database: name another file, or restore it from a backup",
            ReadOnly => $"{file} cannot be written: check its owner, its mode and whether its file system is mounted read-only",
            CannotOpen => $"{file} cannot be opened: check that its folder exists and may be written by this user",
            InputOutput => $"the disk of {file} fails: look into the kernel's log, and at the room that is left",
            _ => $"{file}: {error.Message}",
        };
        return new StoreException(message, whileCommitting && error.SqliteErrorCode == InputOutput, error);
    }
}
