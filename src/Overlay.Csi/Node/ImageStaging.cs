using Overlay.Csi.Formatting;
using Overlay.Csi.Pools;
using Overlay.Csi.Protos;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Node;

/// <summary>Takes the image of a volume to a loop device and its file system to the staging path; and back.</summary>
internal sealed class ImageStaging(VolumeStore store, PoolSet pools, MountOwners owners, Formatter formatter, FileSystems fileSystems, Steps steps)
{
    /// <summary>Does what is missing of it. The caller holds the volume's gate and checked the capability.</summary>
    /// <exception cref="GrpcException">As CSI tells for NodeStageVolume.</exception>
    public void Stage(VolumeRecord record, string path, VolumeCapability capability, string arguments)
    {
        MountOptions options = MountOptions.Parse(capability.Mount?.MountFlags ?? []);
        bool readOnly = Capabilities.IsReader(capability.AccessMode.Mode) || options.IsReadOnly;
        using FileDescriptor image = OpenImage(record);
        Attachment attachment = pools.AttachmentOf(record.Id, record);
        if (IsStaged(record, path, arguments, attachment)) return;
        if (record.Reserved) Reserve(record, image, options);
        TargetPath.Make(path, isFile: false);
        record = record with { Staging = new StagingRecord(path, arguments, readOnly) };
        bool isStaged = false;
        try
        {
            if (record.Kind == "block") AttachBlock(record, image, readOnly);
            else Mount(record, image, path, options, readOnly);
            isStaged = true;
        }
        finally
        {
            if (!isStaged) Forget(record.Id);
        }
    }

    /// <summary>Undoes it, also where no record is left. Nothing happens where nothing is staged.</summary>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: it is published still. UNAVAILABLE: it is in use.</exception>
    public void Unstage(string id, VolumeRecord? record, string path)
    {
        Attachment attachment = pools.AttachmentOf(id, record);
        string canonical = MountTable.Canonical(path);
        if (record?.Staging is { } staging && MountTable.Canonical(staging.Path) != canonical && MountTable.At(path).Count == 0) return;
        string[] published = [.. attachment.OwnMounts.Where(mount => mount.Target != canonical).Select(mount => mount.Target).Distinct()];
        if (published.Length > 0)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {id} is mounted at {string.Join(", ", published)}; unpublish it first");
        }
        owners.Check(id, record, path);
        if (attachment.At(path) is { IsReadOnly: false }) Flush(id, path);
        steps.Next(id, "unmount");
        TargetPath.Unmount(path);
        foreach (LoopDevice loop in pools.AttachmentOf(id, record).Own) Detach(id, loop);
        Detaching.Await(id, () => pools.AttachmentOf(id, record).Own.FirstOrDefault());
        foreach (LoopDevice other in pools.AttachmentOf(id, record).Others) steps.Warn(id, $"{other.Path} has its image, is none of this driver's, and stays");
        if (record is { Staging: not null })
        {
            steps.Next(id, "forget staging");
            store.Put(record with { Staging = null });
        }
    }

    /// <summary>Opens the very image that was made for the volume, of the length it was given.</summary>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: another file stands there, or none.</exception>
    public FileDescriptor OpenImage(VolumeRecord record)
    {
        if (pools.Find(record.Pool) is not { } pool)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {record.Id} is of pool {record.Pool}, which is not configured");
        }
        return pool.Open(record.Image with { Bytes = record.ImageBytes }, record.ImageBytes, writable: true);
    }

    private static bool IsStaged(VolumeRecord record, string path, string arguments, Attachment attachment)
    {
        string canonical = MountTable.Canonical(path);
        bool isBlock = record.Kind == "block";
        if (MountTable.At(path) is [.., { } top] && attachment.At(path) is null)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{path} has {top.Source} ({top.Type}) mounted, which is not volume {record.Id}; unmount it");
        }
        if (attachment.Mounts.FirstOrDefault(mount => mount.Type == record.Kind && mount.Target != canonical && IsStagingOf(record, mount)) is { } other)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {record.Id} is staged at {other.Target}; unstage it first");
        }
        if (attachment.At(path) is not null || (isBlock && record.Staging is { } block && attachment.Own.Any(loop => loop.IsReadOnly == block.IsReadOnly)))
        {
            return record.Staging is not { } staged || (staged.Arguments == arguments && MountTable.Canonical(staged.Path) == canonical) ? true
                : throw new GrpcException(GrpcStatusCode.AlreadyExists, $"volume {record.Id} is staged at {staged.Path} with another capability or other mount flags");
        }
        LoopDevice[] others = [.. isBlock ? attachment.Others : attachment.Loops];
        if (others.Length > 0)
        {
            throw new GrpcException(
                GrpcStatusCode.FailedPrecondition, $"the image of volume {record.Id} is in use by {string.Join(", ", others.Select(loop => loop.Path))}, which this driver does not know; detach it");
        }
        return false;
    }

    private static bool IsStagingOf(VolumeRecord record, MountEntry mount) =>
        record.Staging is { } staging && MountTable.Canonical(staging.Path) == mount.Target;

    /// <summary>Takes again what was trimmed or is shared with a copy since.</summary>
    private void Reserve(VolumeRecord record, FileDescriptor image, MountOptions options)
    {
        if (options.FileSystem.Any(option => option.Key == "discard"))
        {
            throw new GrpcException(GrpcStatusCode.InvalidArgument, "mount flag 'discard' gives back the space that the volume reserves; use reservation: thin");
        }
        try
        {
            ImageFile.Reserve(image, record.ImageBytes, isShared: true);
        }
        catch (LinuxException exception) when (exception.IsNoSpace)
        {
            steps.Warn(record.Id, "the pool has no space left for all that it reserves");
        }
    }

    /// <summary>What was recorded before a step that failed: what is attached or mounted stays on record.</summary>
    private void Forget(string id)
    {
        VolumeRecord? record = store.Find(id);
        Detaching.LeftAfterAll(() => pools.AttachmentOf(id, record).Unmounted.FirstOrDefault(loop => loop.IsAutoClear));
        if (record is not { Staging: not null } || pools.AttachmentOf(id, record).Own.Any()) return;
        if (Reconciler.Try("it stays recorded as staged", () => store.Put(record with { Staging = null })) is { } problem) steps.Warn(id, problem);
    }

    private void AttachBlock(VolumeRecord record, FileDescriptor image, bool readOnly)
    {
        steps.Next(record.Id, "record staging");
        store.Put(record);
        steps.Next(record.Id, "attach");
        using AttachedLoop loop = LoopDevices.Attach(image, readOnly, autoClear: false, pools.LabelOf(record.Id));
        steps.Next(record.Id, "staged");
    }

    /// <summary>
    /// The loop device lets the image go by itself: when a step fails or the driver dies, or else when the file system is unmounted.
    /// </summary>
    private void Mount(VolumeRecord record, FileDescriptor image, string path, MountOptions options, bool readOnly)
    {
        record = formatter.Prepare(record, image);
        steps.Next(record.Id, "attach");
        using AttachedLoop loop = LoopDevices.Attach(image, readOnly && record.Format is { Phase: FormatPhase.Done }, autoClear: true, pools.LabelOf(record.Id));
        string device = loop.Device.Path;
        long length = ImageFile.Length(loop.Descriptor);
        if (length != record.ImageBytes)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{device} has {length} bytes instead of {record.ImageBytes}: the image was changed meanwhile");
        }
        bool isNew = record.Format is not { Phase: FormatPhase.Done };
        if (isNew)
        {
            record = formatter.Format(record, loop);
        }
        else
        {
            steps.Next(record.Id, "record staging");
            store.Put(record);
        }
        Superblock superblock = formatter.Verify(record, loop.Descriptor);
        bool wasCutShort = record.Format!.IsGrowing;
        bool grows = !readOnly && !isNew && (wasCutShort || superblock.Bytes + FileSystemSlack(record.Kind) < record.ImageBytes);
        if (!readOnly && !isNew)
        {
            steps.Next(record.Id, "check");
            fileSystems.Check(record.Kind, device, fully: grows, wasCutShort);
        }
        if (grows && record.Kind == "ext4")
        {
            record = MarkGrowing(record, isGrowing: true);
            steps.Next(record.Id, "grow");
            fileSystems.GrowOffline(device);
            ImageFile.Sync(loop.Descriptor);
            record = MarkGrowing(record, isGrowing: false);
        }
        List<KeyValuePair<string, string?>> all = [.. options.FileSystem, .. Implied(record, readOnly)];
        steps.Next(record.Id, "mount");
        using (DetachedMount mount = MountDevice(record.Kind, device, all, options.FileSystem.Count > 0, readOnly ? options.Attributes | MountAttributes.ReadOnly : options.Attributes))
        {
            steps.Next(record.Id, "move mount");
            mount.MoveTo(path);
        }
        Confirm(record, path, device);
        if (grows && record.Kind != "ext4")
        {
            steps.Next(record.Id, "grow");
            fileSystems.GrowOnline(record.Kind, device, path);
        }
        steps.Next(record.Id, "staged");
    }

    private VolumeRecord MarkGrowing(VolumeRecord record, bool isGrowing)
    {
        record = record with { Format = record.Format! with { IsGrowing = isGrowing } };
        steps.Next(record.Id, isGrowing ? "mark growing" : "mark grown");
        store.Put(record);
        return record;
    }

    /// <summary>What a file system may leave unused at the end of its device: parts of an allocation group, or of a chunk.</summary>
    private static long FileSystemSlack(string type) => type == "xfs" ? 16L << 20 : VolumeRecord.BlockBytes;

    private static IEnumerable<KeyValuePair<string, string?>> Implied(VolumeRecord record, bool readOnly)
    {
        if (record is { Kind: "xfs", Format.IsCopy: true }) yield return new("nouuid", null);
        if (!readOnly) yield break;
        yield return new("ro", null);
        if (record.Kind == "ext4") yield return new("noload", null);
        else if (record.Kind == "xfs") yield return new("norecovery", null);
        else yield return new("rescue", "nologreplay");
    }

    /// <param name="hasFlags">Whether the options hold any that were asked for.</param>
    private static DetachedMount MountDevice(
        string type, string device, IEnumerable<KeyValuePair<string, string?>> options, bool hasFlags, MountAttributes attributes)
    {
        try
        {
            return DetachedMount.Of(type, device, options, attributes);
        }
        catch (LinuxException exception) when (exception.IsUnknownToKernel)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"the kernel has no {type}: load its module, or use another fsType", exception);
        }
        catch (LinuxException exception) when (exception.IsDamaged || exception.IsUnreadable || (exception.IsInvalid && !hasFlags))
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"the {type} is damaged ({exception.Message}); copy the image, then repair it", exception);
        }
        catch (LinuxException exception) when (exception.IsInvalid)
        {
            throw new GrpcException(GrpcStatusCode.InvalidArgument, $"the {type} does not take its mount flags: {exception.Message}", exception);
        }
    }

    private static void Confirm(VolumeRecord record, string path, string device)
    {
        if (MountTable.At(path) is [.., { } top] && top.Type == record.Kind && top.Source == device) return;
        throw new GrpcException(GrpcStatusCode.Unavailable, $"{device} was mounted at {path}, but something else is there now; try again");
    }

    /// <summary>What cannot be written any more is lost with or without the mount: it must not keep the volume here for ever.</summary>
    private void Flush(string id, string path)
    {
        steps.Next(id, "sync");
        try
        {
            // One that is frozen would outlive its last mount, and keep the device.
            if (FileSystemState.Thaw(path)) steps.Warn(id, "its file system was frozen; it was thawed");
            FileSystemState.Sync(path);
        }
        catch (LinuxException exception)
        {
            steps.Warn(id, $"not all was written before it was unmounted: {exception.Message}");
        }
    }

    private void Detach(string id, LoopDevice loop)
    {
        if (loop.IsAutoClear) return;
        try
        {
            using FileDescriptor alone = ImageFile.OpenExclusively(loop.Path);
        }
        catch (LinuxException exception) when (exception.IsInUse)
        {
            throw new GrpcException(GrpcStatusCode.Unavailable, $"{loop.Path} of volume {id} is mounted or held by somebody; it is tried again", exception);
        }
        steps.Next(id, "detach");
        LoopDevices.Detach(loop);
    }
}
