using Overlay.Csi.Formatting;
using Overlay.Csi.Pools;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Node;

/// <summary>Lets a file system that is in use have what its image has become.</summary>
internal sealed class Expansion(PoolSet pools, FileSystems fileSystems, Steps steps)
{
    /// <returns>Bytes of the volume.</returns>
    /// <exception cref="GrpcException">
    /// NOT_FOUND: the volume is not at the path. OUT_OF_RANGE: its image was not grown that far. FAILED_PRECONDITION: the file system cannot grow
    /// while it is mounted.
    /// </exception>
    public long Expand(VolumeRecord record, string path, long required, long limit)
    {
        if (record.Static is not null) throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {record.Id} is a static one: its source has its size");
        if (required > record.CapacityBytes || (limit > 0 && limit < record.CapacityBytes))
        {
            throw new GrpcException(GrpcStatusCode.OutOfRange, $"volume {record.Id} has {record.CapacityBytes} bytes, not {required} to {limit}; the controller grows it first");
        }
        Attachment attachment = pools.AttachmentOf(record.Id, record);
        string canonical = MountTable.Canonical(path);
        bool isStagedBlock = record.Kind == "block" && record.Staging is { } staging && MountTable.Canonical(staging.Path) == canonical;
        MountEntry? mount = attachment.Mounts.LastOrDefault(mount => mount.Target == canonical);
        if (mount is null && !isStagedBlock) throw new GrpcException(GrpcStatusCode.NotFound, $"volume {record.Id} is not at volume_path '{path}'");
        foreach (LoopDevice loop in attachment.Loops)
        {
            steps.Next(record.Id, "resize device");
            LoopDevices.Resize(loop);
        }
        if (record.Kind == "block" || record.Staging is { IsReadOnly: true }) return record.CapacityBytes;
        if (mount is { IsReadOnly: true } && record.Staging is { } at) canonical = MountTable.Canonical(at.Path);
        string device = Attachment.DeviceOf(mount!)!;
        using FileDescriptor image = ImageFile.Open(device, writable: false);
        if (Superblock.Read(image) is { } superblock && superblock.Bytes >= record.ImageBytes) return record.CapacityBytes;
        steps.Next(record.Id, "grow");
        fileSystems.GrowOnline(record.Kind, device, canonical);
        return record.CapacityBytes;
    }
}
