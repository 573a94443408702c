using Overlay.Csi.Pools;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;

namespace Overlay.Csi.Node;

/// <summary>
/// Brings the records together with what the kernel tells, before the driver is ready: an earlier process may have died between any two steps.
/// What no record tells of is reported and left alone.
/// </summary>
internal sealed class Reconciler(VolumeStore store, PoolSet pools, Steps steps)
{
    /// <summary>Returns what nobody knows.</summary>
    public IReadOnlyList<string> Run()
    {
        var unknown = new List<string>();
        foreach (VolumeRecord record in store.All.ToArray()) Reconcile(record, unknown);
        foreach (DirectoryPool pool in pools.All)
        {
            unknown.AddRange(pool.Unknown(store.Images).SelectMany(Describe));
        }
        return unknown;
    }

    private static IEnumerable<string> Describe(string image)
    {
        yield return $"image {image} has no record";
        Attachment attachment = Attachment.Of(FileIdentity.Of(image));
        foreach (LoopDevice loop in attachment.Loops) yield return $"{loop.Path} has image {image}, which has no record";
        foreach (MountEntry mount in attachment.Mounts) yield return $"{mount.Target} is a mount of image {image}, which has no record";
    }

    private void Reconcile(VolumeRecord record, List<string> unknown)
    {
        Attachment attachment = Attachment.Of(record.Static is null ? pools.ImageOf(record.Id, record) : null);
        Thaw(record);
        // A target that is not mounted is made again when it is asked for; one that is stays on record.
        Publication[] gone = [.. record.Publications.Where(publication => MountTable.At(publication.Target).Count == 0)];
        bool isStaged = record.Staging is { } staging
            && (record is { Static: null, Kind: "block" } ? attachment.Loops.Count > 0 : MountTable.At(staging.Path).Count > 0);
        if (record.Static is null && record.Staging is null)
        {
            // Attached for a call that did not end, and of no use to anybody.
            foreach (LoopDevice loop in attachment.Unmounted().Where(loop => !loop.IsAutoClear))
            {
                unknown.Add($"{loop.Path} has the image of volume {record.Id}, which is not staged");
            }
        }
        foreach (LoopDevice reader in attachment.Unmounted().Where(loop => loop is { IsReadOnly: true, IsAutoClear: false } && record.Staging is { IsReadOnly: false }))
        {
            steps.Next(record.Id, "detach reader");
            LoopDevices.Detach(reader);
        }
        HashSet<string> known = [.. record.Publications.Select(publication => MountTable.Canonical(publication.Target))];
        if (record.Staging is { } at) known.Add(MountTable.Canonical(at.Path));
        unknown.AddRange(attachment.Mounts.Where(mount => !known.Contains(mount.Target)).Select(mount => $"{mount.Target} is a mount of volume {record.Id} without a record"));
        if (gone.Length == 0 && (isStaged || record.Staging is null)) return;
        foreach (Publication publication in gone) RemoveEmpty(record.Id, publication.Target);
        record = record with
        {
            Staging = isStaged ? record.Staging : null,
            Published = [.. record.Publications.Except(gone)],
        };
        steps.Next(record.Id, "reconcile record");
        if (record is { Static: not null, Staging: null } && record.Publications.Count == 0) store.Remove(record.Id);
        else store.Put(record);
    }

    /// <summary>A driver that died while it took a snapshot left the file system frozen.</summary>
    private void Thaw(VolumeRecord record)
    {
        if (record is not { Static: null, Staging: { } staging } || record.Kind == "block" || MountTable.At(staging.Path).Count == 0) return;
        try
        {
            if (FileSystemState.Thaw(staging.Path)) steps.Warn(record.Id, "its file system was frozen; it was thawed");
        }
        catch (LinuxException exception)
        {
            steps.Warn(record.Id, $"its file system cannot be thawed: {exception.Message}");
        }
    }

    /// <summary>A target that was made and never mounted.</summary>
    private void RemoveEmpty(string volume, string target)
    {
        try
        {
            TargetPath.Remove(target);
        }
        catch (Exception exception) when (exception is Rpc.Grpc.GrpcException or LinuxException or IOException or UnauthorizedAccessException)
        {
            steps.Warn(volume, $"{target} is not mounted and stays: {exception.Message}");
        }
    }
}
