using Overlay.Linux.Interop;

namespace Overlay.Linux.Storage;

/// <summary>Files that are as they were, or as they were meant to be, after the machine stops at any moment.</summary>
public static class DurableFile
{
    /// <summary>Replaces the whole content: a temporary file beside it, synced, renamed over it, and the folder synced.</summary>
    /// <exception cref="IOException">It cannot be written; the old content stands.</exception>
    public static void Write(string path, ReadOnlySpan<byte> content)
    {
        string temporary = TemporaryOf(path);
        using (FileStream file = Open(temporary))
        {
            file.Write(content);
            file.Flush(flushToDisk: true);
        }
        Rename(temporary, path);
    }

    /// <inheritdoc cref="Write(string, ReadOnlySpan{byte})"/>
    /// <param name="path">The file.</param>
    /// <param name="write">Writes the content.</param>
    public static void Write(string path, Action<Stream> write)
    {
        string temporary = TemporaryOf(path);
        using (FileStream file = Open(temporary))
        {
            write(file);
            file.Flush(flushToDisk: true);
        }
        Rename(temporary, path);
    }

    /// <summary>Makes an empty file that only its owner may use, in place of what is there.</summary>
    /// <exception cref="IOException">It cannot be made.</exception>
    public static void Create(string path)
    {
        File.Delete(path);
        new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        }).Dispose();
    }

    /// <summary>Removes a file, for good once this returns. Nothing happens where there is none.</summary>
    /// <exception cref="IOException">It cannot be removed.</exception>
    public static void Delete(string path)
    {
        File.Delete(path);
        SyncFolder(Path.GetDirectoryName(path)!);
    }

    private static string TemporaryOf(string path) => $"{path}.new";

    private static FileStream Open(string path) => new(path, new FileStreamOptions
    {
        Mode = FileMode.Create,
        Access = FileAccess.Write,
        UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
    });

    private static void Rename(string temporary, string path)
    {
        File.Move(temporary, path, overwrite: true);
        SyncFolder(Path.GetDirectoryName(path)!);
    }

    /// <summary>Makes the names in a folder durable (fsync(2)).</summary>
    /// <exception cref="IOException">The folder cannot be opened or synced.</exception>
    public static void SyncFolder(string folder)
    {
        try
        {
            using FileDescriptor descriptor = FileDescriptor.Own(
                Libc.Open(folder, StorageConstants.O_DIRECTORY | Files.O_CLOEXEC), $"open {folder}");
            if (Libc.FileSync(descriptor.Number) < 0) throw LinuxException.Last($"fsync {folder}");
        }
        catch (LinuxException exception)
        {
            throw new IOException(exception.Message, exception);
        }
    }
}
