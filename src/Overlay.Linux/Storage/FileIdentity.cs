using Overlay.Linux.Interop;

namespace Overlay.Linux.Storage;

/// <summary>Which file it is, whatever path leads to it, and what it takes on its file system (statx(2)).</summary>
/// <param name="Device">Number of the file system's device, as the kernel encodes it for user space.</param>
/// <param name="Inode">Number within the file system.</param>
/// <param name="Bytes">Length of the file.</param>
/// <param name="AllocatedBytes">Bytes of the file system that it occupies; fewer than its length where it has holes.</param>
/// <param name="Node">Number of the device that it is the node of; 0 for other files.</param>
/// <param name="Kind">What sort of file it is.</param>
public readonly record struct FileIdentity(ulong Device, ulong Inode, long Bytes, long AllocatedBytes, ulong Node, FileKind Kind)
{
    private const int TypeMask = 0xf000;

    /// <summary>Null where there is no such file.</summary>
    /// <exception cref="LinuxException">The file cannot be looked at.</exception>
    public static FileIdentity? Of(string path) => Of(StorageConstants.AT_FDCWD, path, 0, $"statx {path}");

    /// <summary>As <see cref="Of(string)"/>, of a symbolic link itself instead of what it leads to.</summary>
    /// <exception cref="LinuxException">The file cannot be looked at.</exception>
    public static FileIdentity? OfLink(string path) =>
        Of(StorageConstants.AT_FDCWD, path, StorageConstants.AT_SYMLINK_NOFOLLOW | StorageConstants.AT_NO_AUTOMOUNT, $"statx {path}");

    /// <summary>As <see cref="Of(string)"/>, from what the kernel remembers: a file system that hangs is not asked (AT_STATX_DONT_SYNC).</summary>
    /// <exception cref="LinuxException">The file cannot be looked at.</exception>
    public static FileIdentity? Remembered(string path) => Of(StorageConstants.AT_FDCWD, path, StorageConstants.AT_STATX_DONT_SYNC, $"statx {path}");

    /// <exception cref="LinuxException">The file cannot be looked at.</exception>
    public static FileIdentity Of(FileDescriptor file) => Of(file.Number, "", StorageConstants.AT_EMPTY_PATH, "statx")!.Value;

    private static unsafe FileIdentity? Of(int folder, string path, int flags, string call)
    {
        StatxBuffer buffer;
        if (Libc.Statx(folder, path, flags, StorageConstants.STATX_BASIC_STATS, &buffer) < 0)
        {
            var problem = LinuxException.Last(call);
            return problem.Errno is Errno.ENOENT or Errno.ENOTDIR ? null : throw problem;
        }
        return new FileIdentity(
            Number(buffer.stx_dev_major, buffer.stx_dev_minor),
            buffer.stx_ino,
            (long)buffer.stx_size,
            (long)buffer.stx_blocks * 512,
            Number(buffer.stx_rdev_major, buffer.stx_rdev_minor),
            (FileKind)(buffer.stx_mode & TypeMask));
    }

    private static ulong Number(uint major, ulong minor) => (minor & 0xff) | ((ulong)major << 8) | ((minor & ~0xffUL) << 12);
}

/// <summary>Sorts of files, as their mode tells them (inode(7)).</summary>
public enum FileKind
{
    Folder = 0x4000,
    BlockDevice = 0x6000,
    Regular = 0x8000,
    Link = 0xa000,
}
