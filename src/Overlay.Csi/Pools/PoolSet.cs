using Overlay.Csi.Node;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Pools;

/// <summary>The pools of this node.</summary>
/// <param name="state">Folder of the driver's records: which driver a loop device is of, among several.</param>
internal sealed class PoolSet(IReadOnlyList<DirectoryPool> pools, string state)
{
    private readonly string _label = $"overlay-csi {VolumeId.Digest(state)[..8]} ";

    public IReadOnlyList<DirectoryPool> All => pools;

    /// <summary>The one of that name, or the first where none is named; null where there is no such.</summary>
    public DirectoryPool? Find(string? name) => name is null ? pools[0] : pools.FirstOrDefault(pool => pool.Name == name);

    /// <summary>What is not recorded was never made, or its record was lost: its image then is kept, which must not be called deleted.</summary>
    /// <param name="id">One that this driver could have given.</param>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: a pool has an image of that name.</exception>
    public void CheckAbsent(string id)
    {
        if (pools.FirstOrDefault(pool => pool.Holds(id)) is not { } holder) return;
        throw new GrpcException(
            GrpcStatusCode.FailedPrecondition, $"{holder.PathOf(id)} has no record; it is kept: restore the record, or remove the image, and delete again");
    }

    /// <summary>The label of the loop devices that this driver makes for a volume: they are found by it when the image is gone.</summary>
    public string LabelOf(string id) => $"{_label}{id}";

    /// <summary>Whether this driver made the device, or an earlier process of it.</summary>
    public bool IsOwn(LoopDevice loop) => loop.Label.StartsWith(_label, StringComparison.Ordinal);

    /// <summary>Where a volume is attached and mounted; the record is null where it was lost.</summary>
    public Attachment AttachmentOf(string id, VolumeRecord? record)
    {
        if (record is { Static: not null }) return Attachment.None;
        FileIdentity? image = null;
        try
        {
            image = ImageOf(id, record);
        }
        catch (LinuxException)
        {
            // The pool does not answer; what is mounted from it can still be taken away.
        }
        return Attachment.Of(image, LabelOf(id), PathsOf(id, record));
    }

    private string[] PathsOf(string id, VolumeRecord? record) =>
    [
        .. pools.Where(pool => record is null ? VolumeId.IsVolume(id) : pool.Name == record.Pool).Select(pool => MountTable.Canonical(pool.PathOf(id))),
    ];

    /// <summary>
    /// That of the record, or, where the record was lost, the one that is named after the volume. Null where there is none, and for what is no
    /// identifier of this driver's: it must not lead out of the pool.
    /// </summary>
    private FileIdentity? ImageOf(string id, VolumeRecord? record)
    {
        if (record is not null) return Find(record.Pool) is { } pool ? FileIdentity.Of(pool.PathOf(id)) : null;
        return !VolumeId.IsVolume(id) ? null : pools.Select(pool => FileIdentity.Of(pool.PathOf(id))).FirstOrDefault(image => image is not null);
    }
}
