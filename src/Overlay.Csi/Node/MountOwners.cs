using Overlay.Csi.Pools;
using Overlay.Csi.State;
using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Node;

/// <summary>Whose the mounts on a path are: a call on one volume must not take away another's, or one that is none of the driver's.</summary>
internal sealed class MountOwners(VolumeStore store, PoolSet pools)
{
    /// <exception cref="GrpcException">FAILED_PRECONDITION: what is mounted on the path is not of the volume.</exception>
    public void Check(string id, VolumeRecord? record, string path)
    {
        if (MountTable.At(path) is not [.., { } top] mounts) return;
        string canonical = MountTable.Canonical(path);
        if (record is not null && IsOf(record, canonical)) return;
        if (pools.AttachmentOf(id, record).Mounts.Any(mount => mount.Target == canonical)) return;
        // Without a record the call is believed, unless something speaks against it.
        bool isOfAnother = record is not null || store.All.Any(other => IsOf(other, canonical)) || mounts.Any(mount => IsLoopOfAnother(id, mount));
        bool isNoImage = VolumeId.IsVolume(id) && mounts.All(mount => Attachment.DeviceOf(mount) is null);
        if (!isOfAnother && !isNoImage) return;
        throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{path} has {top.Source} ({top.Type}) mounted, which is not volume {id}; it stays");
    }

    private static bool IsOf(VolumeRecord record, string canonical) =>
        (record.Staging is { } staging && MountTable.Canonical(staging.Path) == canonical)
        || record.Publications.Any(publication => MountTable.Canonical(publication.Target) == canonical);

    private bool IsLoopOfAnother(string id, MountEntry mount) =>
        Attachment.DeviceOf(mount) is { } device && LoopDevices.At(device) is { } loop && pools.IsOwn(loop) && loop.Label != pools.LabelOf(id);
}
