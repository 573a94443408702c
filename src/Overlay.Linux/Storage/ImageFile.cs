using Overlay.Linux.Interop;

namespace Overlay.Linux.Storage;

/// <summary>Files and devices that hold the bytes of a volume.</summary>
public static unsafe class ImageFile
{
    private const int ChunkBytes = 1 << 20;

    /// <summary>Opens a file, never a symbolic link.</summary>
    /// <exception cref="LinuxException">It cannot be opened.</exception>
    public static FileDescriptor Open(string path, bool writable) => FileDescriptor.Own(
        Libc.Open(path, (writable ? Files.O_RDWR : 0) | StorageConstants.O_NOFOLLOW | Files.O_CLOEXEC), $"open {path}");

    /// <summary>Opens a block device that nobody has mounted or holds exclusively.</summary>
    /// <exception cref="LinuxException">EBUSY: somebody has it.</exception>
    public static FileDescriptor OpenExclusively(string device) => FileDescriptor.Own(
        Libc.Open(device, StorageConstants.O_EXCL | Files.O_CLOEXEC), $"open {device} exclusively");

    /// <summary>Bytes of a file or block device.</summary>
    /// <exception cref="LinuxException">The kernel does not tell.</exception>
    public static long Length(FileDescriptor file)
    {
        long length = LibcStorage.Seek(file.Number, 0, StorageConstants.SEEK_END);
        return length >= 0 ? length : throw LinuxException.Last("lseek");
    }

    /// <summary>
    /// Offset of the first byte that is not zero, all of them read; null where there is none. Holes of a file are zero without being read.
    /// </summary>
    /// <exception cref="LinuxException">A byte cannot be read.</exception>
    public static long? FirstData(FileDescriptor file)
    {
        byte[] buffer = GC.AllocateUninitializedArray<byte>(ChunkBytes);
        foreach ((long start, long end) in DataRanges(file))
        {
            for (long offset = start; offset < end;)
            {
                int read = ReadAt(file, buffer.AsSpan(0, (int)Math.Min(ChunkBytes, end - offset)), offset);
                if (read == 0) break;
                int data = buffer.AsSpan(0, read).IndexOfAnyExcept((byte)0);
                if (data >= 0) return offset + data;
                offset += read;
            }
        }
        return null;
    }

    /// <summary>Bytes read, fewer than asked for at the end only.</summary>
    /// <exception cref="LinuxException">They cannot be read.</exception>
    public static int ReadAt(FileDescriptor file, Span<byte> buffer, long offset)
    {
        int total = 0;
        fixed (byte* start = buffer)
        {
            while (total < buffer.Length)
            {
                nint read = LibcStorage.ReadAt(file.Number, start + total, (nuint)(buffer.Length - total), offset + total);
                if (read < 0) throw LinuxException.Last($"read at byte {offset + total}");
                if (read == 0) break;
                total += (int)read;
            }
        }
        return total;
    }

    /// <summary>Makes the destination share the source's blocks (FICLONE).</summary>
    /// <returns>False where the file system cannot.</returns>
    /// <exception cref="LinuxException">It can, but failed.</exception>
    public static bool TryShare(FileDescriptor source, FileDescriptor destination)
    {
        if (Libc.IoctlValue(destination.Number, StorageConstants.FICLONE, (nuint)source.Number) == 0) return true;
        var problem = LinuxException.Last("FICLONE");
        return problem.Errno is Errno.EOPNOTSUPP or Errno.EXDEV or Errno.EINVAL or Errno.ENOTTY ? false : throw problem;
    }

    /// <summary>Copies what is not a hole.</summary>
    /// <param name="end">Asked between pieces; when it is cancelled, the copy is left unfinished.</param>
    /// <exception cref="LinuxException">ENOSPC and the like.</exception>
    public static void CopyData(FileDescriptor source, FileDescriptor destination, CancellationToken end)
    {
        foreach ((long start, long stop) in DataRanges(source))
        {
            long from = start, to = start;
            while (from < stop)
            {
                end.ThrowIfCancellationRequested();
                nint copied = LibcStorage.CopyRange(
                    source.Number, &from, destination.Number, &to, (nuint)Math.Min(16 * ChunkBytes, stop - from), 0);
                if (copied < 0) throw LinuxException.Last($"copy_file_range at byte {from}");
                if (copied == 0) return;
            }
        }
    }

    /// <summary>Takes space of the file system for all of the file's bytes, and makes it that long at least.</summary>
    /// <param name="isShared">Whether it may share blocks with another file, which then are copied.</param>
    /// <exception cref="LinuxException">ENOSPC: there is not enough.</exception>
    public static void Reserve(FileDescriptor file, long bytes, bool isShared)
    {
        if (isShared && SharedBytes(file) > 0 && LibcStorage.Allocate(file.Number, StorageConstants.FALLOC_FL_UNSHARE_RANGE, 0, bytes) < 0)
        {
            throw LinuxException.Last("fallocate of shared blocks");
        }
        if (LibcStorage.Allocate(file.Number, 0, 0, bytes) < 0) throw LinuxException.Last("fallocate");
    }

    /// <summary>Bytes of the file that share their blocks with another one; 0 where the file system does not tell (FS_IOC_FIEMAP).</summary>
    /// <exception cref="LinuxException">The file's blocks cannot be listed.</exception>
    public static long SharedBytes(FileDescriptor file)
    {
        const int extents = 256;
        byte* buffer = stackalloc byte[sizeof(FileMap) + (extents * sizeof(FileMapExtent))];
        long shared = 0;
        for (ulong offset = 0; ;)
        {
            *(FileMap*)buffer = new FileMap { fm_start = offset, fm_length = ulong.MaxValue - offset, fm_extent_count = extents };
            if (Libc.Ioctl(file.Number, StorageConstants.FS_IOC_FIEMAP, buffer) < 0)
            {
                var problem = LinuxException.Last("FS_IOC_FIEMAP");
                return problem.Errno is Errno.EOPNOTSUPP or Errno.ENOTTY ? 0 : throw problem;
            }
            var found = new ReadOnlySpan<FileMapExtent>(buffer + sizeof(FileMap), (int)((FileMap*)buffer)->fm_mapped_extents);
            foreach (FileMapExtent extent in found)
            {
                if ((extent.fe_flags & StorageConstants.FIEMAP_EXTENT_SHARED) != 0) shared += (long)extent.fe_length;
            }
            if (found.Length == 0 || (found[^1].fe_flags & StorageConstants.FIEMAP_EXTENT_LAST) != 0) return shared;
            offset = found[^1].fe_logical + found[^1].fe_length;
        }
    }

    /// <exception cref="LinuxException">The file cannot have that length.</exception>
    public static void SetLength(FileDescriptor file, long bytes)
    {
        if (LibcStorage.SetLength(file.Number, bytes) < 0) throw LinuxException.Last("ftruncate");
    }

    /// <exception cref="LinuxException">What was written may not be on the disk.</exception>
    public static void Sync(FileDescriptor file)
    {
        if (Libc.FileSync(file.Number) < 0) throw LinuxException.Last("fsync");
    }

    /// <summary>Parts of a file that are no holes; all of a device.</summary>
    private static IEnumerable<(long Start, long End)> DataRanges(FileDescriptor file)
    {
        long length = Length(file);
        if (FileIdentity.Of(file).Kind == FileKind.BlockDevice)
        {
            yield return (0, length);
            yield break;
        }
        for (long end = 0; end < length;)
        {
            long start = LibcStorage.Seek(file.Number, end, StorageConstants.SEEK_DATA);
            if (start < 0)
            {
                var problem = LinuxException.Last("lseek SEEK_DATA");
                // No data between here and the end.
                if (problem.Errno == Errno.ENXIO) yield break;
                throw problem;
            }
            end = LibcStorage.Seek(file.Number, start, StorageConstants.SEEK_HOLE);
            if (end < 0) throw LinuxException.Last("lseek SEEK_HOLE");
            yield return (start, end);
        }
    }
}
