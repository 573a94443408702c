using Overlay.Linux.Interop;

namespace Overlay.Linux.Storage;

/// <summary>A folder that one process has for itself, among those that ask (flock(2)). It goes with the process.</summary>
public sealed class FolderLock : IDisposable
{
    private readonly FileDescriptor _folder;

    private FolderLock(FileDescriptor folder) => _folder = folder;

    /// <summary>Null where another process has it.</summary>
    /// <exception cref="LinuxException">The folder cannot be opened or locked.</exception>
    public static FolderLock? TryTake(string folder)
    {
        FileDescriptor descriptor = FileDescriptor.Own(
            Libc.Open(folder, StorageConstants.O_DIRECTORY | Files.O_CLOEXEC), $"open {folder}");
        if (LibcStorage.Lock(descriptor.Number, StorageConstants.LOCK_EX | StorageConstants.LOCK_NB) == 0) return new FolderLock(descriptor);
        var problem = LinuxException.Last($"flock {folder}");
        descriptor.Dispose();
        return problem.Errno == Errno.EAGAIN ? null : throw problem;
    }

    public void Dispose() => _folder.Dispose();
}
