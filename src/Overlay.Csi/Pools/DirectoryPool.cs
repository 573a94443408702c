using Overlay.Csi.State;
using Overlay.Linux.Loop;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Pools;

/// <summary>A folder of volume images. It touches only files that a record names, and of those only the very file that was recorded.</summary>
internal sealed class DirectoryPool(PoolOptions options)
{
    private const int NoSpaceLeft = 28;

    public string Name => options.Name;

    /// <summary>Images in the folder that none of the records tells of.</summary>
    public IEnumerable<string> Unknown(IEnumerable<VolumeRecord> records)
    {
        HashSet<string> known = [.. records.Where(record => record.Pool == Name).SelectMany(record => new[] { PathOf(record), NewPathOf(record) })];
        return Directory.EnumerateFiles(options.Folder, "vol-*.img*").Where(path => !known.Contains(path));
    }

    /// <summary>
    /// Bytes for new volumes: what the file system has left for this user, less what the pool's volumes were promised and do not occupy yet.
    /// </summary>
    public long Available(IEnumerable<VolumeRecord> records)
    {
        long owed = 0;
        foreach (VolumeRecord record in records.Where(record => record.Pool == Name))
        {
            long occupied = (FileIdentity.Of(PathOf(record)) ?? FileIdentity.Of(NewPathOf(record)))?.AllocatedBytes ?? 0;
            owed += Math.Max(0, record.CapacityBytes - occupied);
        }
        return Math.Max(0, new DriveInfo(options.Folder).AvailableFreeSpace - owed);
    }

    /// <summary>True where an image without a record stands in the way of a new volume.</summary>
    public bool Holds(VolumeRecord record) => FileIdentity.Of(PathOf(record)) is not null;

    /// <summary>
    /// Makes the image under the record's mark <see cref="VolumePhase.Creating"/>, or finishes what an earlier process began. Returns its inode.
    /// </summary>
    /// <exception cref="GrpcException">RESOURCE_EXHAUSTED: no space. FAILED_PRECONDITION: a file of another size stands there.</exception>
    public ulong Create(VolumeRecord record)
    {
        string path = PathOf(record);
        if (FileIdentity.Of(path) is { } present)
        {
            // Only a finished image is ever renamed to this.
            return present.Bytes == record.CapacityBytes ? present.Inode : throw new GrpcException(
                GrpcStatusCode.FailedPrecondition, $"{path} has {present.Bytes} bytes instead of {record.CapacityBytes}; it is kept: see who made it");
        }
        string temporary = NewPathOf(record);
        try
        {
            using (FileStream image = new(temporary, new FileStreamOptions
            {
                Mode = FileMode.Create,
                Access = FileAccess.ReadWrite,
                Share = FileShare.None,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
                PreallocationSize = record.Reserved ? record.CapacityBytes : 0,
            }))
            {
                image.SetLength(record.CapacityBytes);
                image.Flush(flushToDisk: true);
            }
            File.Move(temporary, path, overwrite: false);
        }
        catch (IOException exception) when (exception.HResult == NoSpaceLeft || exception.InnerException?.HResult == NoSpaceLeft)
        {
            DurableFile.Delete(temporary);
            throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"pool {Name}: {exception.Message}", exception);
        }
        DurableFile.SyncFolder(options.Folder);
        return FileIdentity.Of(path)?.Inode ?? throw new GrpcException(GrpcStatusCode.Unavailable, $"{path} was removed by somebody else");
    }

    /// <summary>Why the image must not be removed; null where it may, or is not there.</summary>
    public string? HeldBecause(VolumeRecord record)
    {
        string path = PathOf(record);
        if (FileIdentity.Of(path) is not { } present) return null;
        if (record.Phase != VolumePhase.Creating && record.Inode != present.Inode)
        {
            return $"{path} is another file (inode {present.Inode}) than was made for the volume ({record.Inode}); it is kept";
        }
        IReadOnlyList<string> devices = LoopDevices.BackedBy(present);
        return devices.Count == 0 ? null : $"{path} is in use by {string.Join(", ", devices)}";
    }

    /// <summary>Removes the image, for good when it returns. The caller asked <see cref="HeldBecause"/>.</summary>
    public void Delete(VolumeRecord record)
    {
        DurableFile.Delete(NewPathOf(record));
        DurableFile.Delete(PathOf(record));
    }

    private string PathOf(VolumeRecord record) => Path.Combine(options.Folder, $"{record.Id}.img");

    private string NewPathOf(VolumeRecord record) => $"{PathOf(record)}.new";
}
