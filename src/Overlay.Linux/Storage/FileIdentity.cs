using Overlay.Linux.Interop;

namespace Overlay.Linux.Storage;

/// <summary>Which file it is, whatever path leads to it, and what it takes on its file system (statx(2)).</summary>
/// <param name="Device">Number of the file system's device, as the kernel encodes it for user space.</param>
/// <param name="Inode">Number within the file system.</param>
/// <param name="Bytes">Length of the file.</param>
/// <param name="AllocatedBytes">Bytes of the file system that it occupies; fewer than its length where it has holes.</param>
public readonly record struct FileIdentity(ulong Device, ulong Inode, long Bytes, long AllocatedBytes)
{
    /// <summary>Null where there is no such file.</summary>
    /// <exception cref="LinuxException">The file cannot be looked at.</exception>
    public static unsafe FileIdentity? Of(string path)
    {
        StatxBuffer buffer;
        if (Libc.Statx(StorageConstants.AT_FDCWD, path, 0, StorageConstants.STATX_BASIC_STATS, &buffer) < 0)
        {
            var problem = LinuxException.Last($"statx {path}");
            return problem.Errno == Errno.ENOENT ? null : throw problem;
        }
        ulong minor = buffer.stx_dev_minor;
        ulong device = (minor & 0xff) | ((ulong)buffer.stx_dev_major << 8) | ((minor & ~0xffUL) << 12);
        return new FileIdentity(device, buffer.stx_ino, (long)buffer.stx_size, (long)buffer.stx_blocks * 512);
    }
}
