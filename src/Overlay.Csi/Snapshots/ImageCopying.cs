using Overlay.Csi.Node;
using Overlay.Csi.Pools;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Snapshots;

/// <summary>
/// Copies images as they are at one moment. Where the pool's file system can, the copy shares the blocks, and writers wait for an instant;
/// elsewhere they wait until all is copied, and not for ever.
/// </summary>
/// <param name="freezeLimit">Time that a copy may take while writers wait. One that hangs keeps them waiting for twice as long.</param>
internal sealed class ImageCopying(PoolSet pools, TimeSpan freezeLimit, Steps steps)
{
    /// <exception cref="GrpcException">FAILED_PRECONDITION: it is being formatted, or that was cut short.</exception>
    public static void CheckFormatted(VolumeRecord volume)
    {
        if (volume.Format is { Phase: FormatPhase.Formatting })
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {volume.Id} is not formatted to its end; stage it first");
        }
    }

    /// <summary>Copies what nobody writes to.</summary>
    public void Copy(PoolImage source, FileDescriptor target)
    {
        using FileDescriptor image = Open(source, source.Bytes);
        if (!ImageFile.TryShare(image, target)) ImageFile.CopyData(image, target, CancellationToken.None);
    }

    /// <summary>Copies a volume, in use or not.</summary>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: it is in use, and cannot be copied as long as it is.</exception>
    public void CopyVolume(VolumeRecord volume, FileDescriptor target)
    {
        using FileDescriptor image = Open(volume.Image, volume.ImageBytes);
        Attachment attachment = pools.AttachmentOf(volume.Id, volume);
        if (volume.Kind == "block") CopyBlock(volume, image, target, attachment);
        else if (attachment.Mounts.FirstOrDefault(mount => mount.Type == volume.Kind && !mount.FileSystemOptions.Contains("ro")) is { } mount) CopyMounted(volume, image, target, mount);
        else if (!ImageFile.TryShare(image, target)) ImageFile.CopyData(image, target, CancellationToken.None);
    }

    private void CopyMounted(VolumeRecord volume, FileDescriptor image, FileDescriptor target, MountEntry mount)
    {
        // Most of the waiting happens here, before writers are stopped.
        steps.Next(volume.Id, "sync");
        FileSystemState.Sync(mount.Target);
        using var limit = new CancellationTokenSource();
        int thaws = 0;
        steps.Next(volume.Id, "freeze");
        Freeze(volume, mount.Target);
        using var watchdog = new Timer(_ => Watch(), null, 2 * freezeLimit, Timeout.InfiniteTimeSpan);
        try
        {
            limit.CancelAfter(freezeLimit);
            steps.Next(volume.Id, "copy");
            if (!ImageFile.TryShare(image, target)) ImageFile.CopyData(image, target, limit.Token);
            if (Volatile.Read(ref thaws) > 0) throw TooLong(volume);
        }
        catch (OperationCanceledException)
        {
            throw TooLong(volume);
        }
        finally
        {
            steps.Next(volume.Id, "thaw");
            ThawOnce();
        }

        void Watch()
        {
            if (Reconciler.Try("it cannot be thawed", ThawOnce) is { } problem) steps.Warn(volume.Id, problem);
        }

        void ThawOnce()
        {
            if (Interlocked.Exchange(ref thaws, 1) == 0) FileSystemState.Thaw(mount.Target);
        }
    }

    private static void Freeze(VolumeRecord volume, string path)
    {
        try
        {
            FileSystemState.Freeze(path);
        }
        catch (LinuxException exception) when (exception.IsInUse)
        {
            throw new GrpcException(GrpcStatusCode.Unavailable, $"the file system of volume {volume.Id} was frozen by somebody else: end that (fsfreeze --unfreeze {path}); it is tried again", exception);
        }
    }

    /// <summary>Whoever writes to the device may do so meanwhile: only a copy that is made in one step is of one moment.</summary>
    private static void CopyBlock(VolumeRecord volume, FileDescriptor image, FileDescriptor target, Attachment attachment)
    {
        foreach (LoopDevice loop in attachment.Loops.Where(loop => !loop.IsReadOnly))
        {
            using FileDescriptor device = ImageFile.Open(loop.Path, writable: true);
            ImageFile.Sync(device);
        }
        if (ImageFile.TryShare(image, target)) return;
        if (attachment.Mounts.Any(mount => !mount.IsReadOnly))
        {
            throw new GrpcException(
                GrpcStatusCode.FailedPrecondition, $"raw block volume {volume.Id} is published, and its pool {volume.Pool} cannot share blocks: unpublish it, or use an xfs pool");
        }
        ImageFile.CopyData(image, target, CancellationToken.None);
    }

    private GrpcException TooLong(VolumeRecord volume) => new(
        GrpcStatusCode.FailedPrecondition,
        $"volume {volume.Id} cannot be copied while writers wait ({freezeLimit.TotalSeconds:0} s at most): its pool {volume.Pool} cannot share blocks, or hangs. Stop its pods, use an xfs pool, or raise --freeze-limit");

    private FileDescriptor Open(PoolImage image, long least) => pools.Find(image.Pool)?.Open(image, least, writable: false)
        ?? throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{image.Id} is of pool {image.Pool}, which is not configured");
}
