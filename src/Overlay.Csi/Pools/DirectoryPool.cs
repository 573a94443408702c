using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Linux.Loop;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Pools;

/// <summary>A folder of images. It touches only files that a record names, and of those only the very file that was recorded.</summary>
internal sealed class DirectoryPool(PoolOptions options)
{
    public string Name => options.Name;

    public string Folder => options.Folder;

    /// <summary>Path of the image of a volume or snapshot.</summary>
    public string PathOf(string id) => Path.Combine(options.Folder, $"{id}.img");

    /// <summary>Images in the folder that no record tells of.</summary>
    public IEnumerable<string> Unknown(IEnumerable<PoolImage> known)
    {
        HashSet<string> paths = [.. known.Where(image => image.Pool == Name).SelectMany(image => new[] { PathOf(image.Id), NewPathOf(image.Id) })];
        return Directory.EnumerateFiles(options.Folder)
            .Where(path => Path.GetFileName(path) is var name && (name.StartsWith("vol-", StringComparison.Ordinal) || name.StartsWith("snap-", StringComparison.Ordinal)))
            .Where(path => !paths.Contains(path));
    }

    /// <summary>
    /// Bytes for new volumes: what the file system has left, less what may be written to the pool's volumes and they do not occupy alone. What
    /// a volume shares with a snapshot or clone has to be found anew when it is overwritten.
    /// </summary>
    public long Available(IEnumerable<PoolImage> known)
    {
        long owed = 0;
        foreach (PoolImage image in known.Where(image => image.Pool == Name && VolumeId.IsVolume(image.Id)))
        {
            // The other name may become this one meanwhile, but never this one the other.
            long? occupied = OwnBytes(PathOf(image.Id)) ?? OwnBytes(NewPathOf(image.Id)) ?? OwnBytes(PathOf(image.Id));
            owed += Math.Max(0, image.Bytes - (occupied ?? 0));
        }
        return Math.Max(0, Free() - owed);
    }

    /// <summary>
    /// Bytes that can still be written to the pool: no more than the disk has that its image is on, where that could not hold all of the image. Which
    /// of its free blocks the pool writes to next, those that its image holds already or others, is not known.
    /// </summary>
    private long Free()
    {
        long free = new DriveInfo(options.Folder).AvailableFreeSpace;
        if (options.Backing != PoolBacking.Image || FileIdentity.Of(options.Source) is not { } image) return free;
        long below = new DriveInfo(Path.GetDirectoryName(options.Source)!).AvailableFreeSpace;
        return image.Bytes - image.AllocatedBytes <= below ? free : Math.Min(free, below);
    }

    /// <summary>As <see cref="Available"/>; 0, and why, where the pool does not answer.</summary>
    public long TryAvailable(IEnumerable<PoolImage> known, out string? problem)
    {
        try
        {
            problem = null;
            return Available(known);
        }
        catch (Exception exception) when (exception is LinuxException or IOException or UnauthorizedAccessException)
        {
            problem = exception.Message;
            return 0;
        }
    }

    /// <summary>Bytes that an image occupies, shared or not.</summary>
    public long Occupied(string id) => FileIdentity.Of(PathOf(id))?.AllocatedBytes ?? 0;

    /// <summary>True where an image without a record stands in the way of a new one.</summary>
    public bool Holds(string id) => FileIdentity.Of(PathOf(id)) is not null;

    /// <summary>Makes the image under the record's mark <see cref="VolumePhase.Creating"/>, or finishes what an earlier process began.</summary>
    /// <param name="fill">Puts into the new, empty file what it is to hold; null: nothing.</param>
    /// <returns>Its inode.</returns>
    /// <exception cref="GrpcException">RESOURCE_EXHAUSTED: no space. FAILED_PRECONDITION: a file of another size stands there.</exception>
    public ulong Create(PoolImage image, Action<FileDescriptor>? fill)
    {
        string path = PathOf(image.Id);
        if (FileIdentity.Of(path) is { } present)
        {
            // Only a finished image is ever renamed to this.
            return present.Bytes == image.Bytes ? present.Inode : throw new GrpcException(
                GrpcStatusCode.FailedPrecondition, $"{path} has {present.Bytes} bytes instead of {image.Bytes}; it is kept: see who made it");
        }
        string temporary = NewPathOf(image.Id);
        bool isFinished = false;
        try
        {
            DurableFile.Create(temporary);
            using (FileDescriptor file = ImageFile.Open(temporary, writable: true))
            {
                fill?.Invoke(file);
                ImageFile.SetLength(file, image.Bytes);
                if (image.IsReserved) ImageFile.Reserve(file, image.Bytes, isShared: fill is not null);
                ImageFile.Sync(file);
            }
            File.Move(temporary, path, overwrite: false);
            isFinished = true;
        }
        catch (LinuxException exception) when (exception.IsNoSpace)
        {
            throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"pool {Name}: {exception.Message}", exception);
        }
        finally
        {
            if (!isFinished) DurableFile.Delete(temporary);
        }
        DurableFile.SyncFolder(options.Folder);
        return FileIdentity.Of(path)?.Inode ?? throw new GrpcException(GrpcStatusCode.Unavailable, $"{path} was removed by somebody else");
    }

    /// <summary>Opens the very image that was made, of the length it was given: what is missing of it must not be taken for zeros.</summary>
    /// <param name="least">Bytes that it has at least: fewer than the image's where it is being grown.</param>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: another file stands there, or none.</exception>
    public FileDescriptor Open(PoolImage image, long least, bool writable)
    {
        string path = PathOf(image.Id);
        if (FileIdentity.OfLink(path) is not { Kind: FileKind.Regular })
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{path} is not there or no file: the image of {image.Id} is lost; restore it");
        }
        FileDescriptor file = ImageFile.Open(path, writable);
        FileIdentity found = FileIdentity.Of(file);
        string? wrong =
            image.Inode is { } inode && found.Inode != inode ? $"is another file (inode {found.Inode}) than was made for the volume ({inode}): it was replaced"
            : found.Bytes < least ? $"was truncated: it has {found.Bytes} bytes instead of {least}"
            : found.Bytes > image.Bytes ? $"has {found.Bytes} bytes instead of {image.Bytes}"
            : null;
        if (wrong is null) return file;
        file.Dispose();
        throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{path} {wrong}; it is kept as it is: restore the image that was made");
    }

    /// <summary>Makes the image longer; nothing happens where it is that long.</summary>
    /// <param name="from">Bytes that it had before.</param>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: it is not the image that was made.</exception>
    /// <exception cref="LinuxException">ENOSPC: there is no space for it.</exception>
    public void Grow(PoolImage image, long from)
    {
        using FileDescriptor file = Open(image, from, writable: true);
        if (ImageFile.Length(file) == image.Bytes) return;
        try
        {
            if (image.IsReserved) ImageFile.Reserve(file, image.Bytes, isShared: false);
            else ImageFile.SetLength(file, image.Bytes);
        }
        catch (LinuxException exception) when (exception.IsNoSpace)
        {
            // ext4 keeps what of it was found, and makes the file as much longer.
            ImageFile.SetLength(file, from);
            throw;
        }
        ImageFile.Sync(file);
    }

    /// <summary>Why the image must not be removed; null where it may, or is not there.</summary>
    /// <param name="label">Of loop devices that the driver made for it.</param>
    public string? HeldBecause(PoolImage image, string label)
    {
        string path = PathOf(image.Id);
        FileIdentity? present = FileIdentity.Of(path);
        if (image.Inode is { } inode && present is { } other && inode != other.Inode)
        {
            return $"{path} is another file (inode {other.Inode}) than was made for the volume ({inode}); it is kept";
        }
        IReadOnlyList<LoopDevice> devices = LoopDevices.Of(present, label);
        return devices.Count == 0 ? null : $"{path} is in use by {string.Join(", ", devices.Select(device => device.Path))}";
    }

    /// <summary>Removes the image, for good when it returns. The caller asked <see cref="HeldBecause"/>.</summary>
    public void Delete(string id)
    {
        DurableFile.Delete(NewPathOf(id));
        DurableFile.Delete(PathOf(id));
    }

    /// <summary>Bytes that a file occupies and does not share; null where there is no such file, as others make, rename and remove them.</summary>
    private static long? OwnBytes(string path)
    {
        try
        {
            using FileDescriptor file = ImageFile.Open(path, writable: false);
            return FileIdentity.Of(file).AllocatedBytes - ImageFile.SharedBytes(file);
        }
        catch (LinuxException exception) when (exception.IsAbsent)
        {
            return null;
        }
    }

    private string NewPathOf(string id) => $"{PathOf(id)}.new";
}
