using Overlay.Linux.Interop;

namespace Overlay.Linux.Storage;

/// <summary>Files that are as they were, or as they were meant to be, after the machine stops at any moment.</summary>
public static class DurableFile
{
    /// <summary>Replaces the whole content: a temporary file beside it, synced, renamed over it, and the folder synced.</summary>
    /// <exception cref="IOException">It cannot be written; the old content stands.</exception>
    public static void Write(string path, ReadOnlySpan<byte> content)
    {
        string temporary = $"{path}.new";
        using (FileStream file = new(temporary, new FileStreamOptions
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        }))
        {
            file.Write(content);
            file.Flush(flushToDisk: true);
        }
        File.Move(temporary, path, overwrite: true);
        SyncFolder(Path.GetDirectoryName(path)!);
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
