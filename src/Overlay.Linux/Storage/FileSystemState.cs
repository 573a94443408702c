using Overlay.Linux.Interop;

namespace Overlay.Linux.Storage;

/// <summary>Bytes and inodes of a mounted file system (statvfs(3)).</summary>
/// <param name="AvailableBytes">For users other than root.</param>
/// <param name="UsedBytes">Without what is kept for root.</param>
public readonly record struct FileSystemUsage(
    long TotalBytes, long AvailableBytes, long UsedBytes, long TotalInodes, long AvailableInodes, long UsedInodes);

/// <summary>A mounted file system as a whole.</summary>
public static unsafe class FileSystemState
{
    /// <exception cref="LinuxException">It cannot be asked, such as EIO where its device is gone.</exception>
    public static FileSystemUsage Usage(string path)
    {
        using FileDescriptor folder = OpenFolder(path);
        StatVfs usage;
        if (LibcStorage.FileSystemUsage(folder.Number, &usage) < 0) throw LinuxException.Last($"statvfs {path}");
        long unit = (long)usage.f_frsize;
        return new FileSystemUsage(
            (long)usage.f_blocks * unit,
            (long)usage.f_bavail * unit,
            (long)(usage.f_blocks - usage.f_bfree) * unit,
            (long)usage.f_files,
            (long)usage.f_favail,
            (long)(usage.f_files - usage.f_ffree));
    }

    /// <summary>Whether its topmost folder can still be read: not after an error that made it shut down, or took its device away (EIO).</summary>
    public static bool Answers(string path)
    {
        try
        {
            using IEnumerator<string> entries = Directory.EnumerateFileSystemEntries(path).GetEnumerator();
            entries.MoveNext();
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Writes out all that waits to be written (syncfs(2)).</summary>
    /// <exception cref="LinuxException">Something could not be written.</exception>
    public static void Sync(string path)
    {
        using FileDescriptor folder = OpenFolder(path);
        if (LibcStorage.SyncFileSystem(folder.Number) < 0) throw LinuxException.Last($"syncfs {path}");
    }

    /// <summary>Stops writing to the file system until <see cref="Thaw"/>: its device then is consistent.</summary>
    /// <exception cref="LinuxException">It cannot be frozen, or is already (EBUSY).</exception>
    public static void Freeze(string path)
    {
        using FileDescriptor folder = OpenFolder(path);
        if (Libc.IoctlValue(folder.Number, StorageConstants.FIFREEZE, 0) < 0) throw LinuxException.Last($"FIFREEZE {path}");
    }

    /// <returns>False where it was not frozen.</returns>
    /// <exception cref="LinuxException">It cannot be thawed.</exception>
    public static bool Thaw(string path)
    {
        using FileDescriptor folder = OpenFolder(path);
        if (Libc.IoctlValue(folder.Number, StorageConstants.FITHAW, 0) == 0) return true;
        var problem = LinuxException.Last($"FITHAW {path}");
        return problem.Errno is Errno.EINVAL or Errno.EOPNOTSUPP ? false : throw problem;
    }

    private static FileDescriptor OpenFolder(string path) =>
        FileDescriptor.Own(Libc.Open(path, StorageConstants.O_DIRECTORY | Files.O_CLOEXEC), $"open {path}");
}
