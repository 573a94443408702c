using Overlay.Csi.Pools;
using Overlay.Csi.Snapshots;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Node;

/// <summary>
/// Brings the records together with what the kernel tells, before the driver is ready: an earlier process may have died between any two steps.
/// What no record tells of is reported and left alone.
/// </summary>
internal sealed class Reconciler(VolumeStore store, PoolSet pools, Steps steps)
{
    /// <summary>Returns what nobody knows, and what cannot be looked at.</summary>
    public IReadOnlyList<string> Run()
    {
        var unknown = new List<string>();
        foreach (VolumeRecord record in store.All.ToArray())
        {
            if (Try($"volume {record.Id}", () => Reconcile(record, unknown)) is { } problem) unknown.Add(problem);
        }
        foreach (DirectoryPool pool in pools.All)
        {
            if (Try($"pool {pool.Name}", () => unknown.AddRange(pool.Unknown(store.Images).SelectMany(Describe))) is { } problem) unknown.Add(problem);
        }
        return unknown;
    }

    /// <summary>
    /// Ends what a driver that died left frozen: file systems of volumes that a snapshot or clone was being made of. Others are not touched,
    /// whoever froze them.
    /// </summary>
    public void Thaw()
    {
        IEnumerable<string?> sources =
        [
            .. store.Snapshots.All.Where(snapshot => snapshot.Phase == VolumePhase.Creating).Select(snapshot => snapshot.Volume),
            .. store.All.Where(record => record.Phase == VolumePhase.Creating).Select(record => VolumeSources.Parse(record.Source)?.Volume?.VolumeId),
        ];
        foreach (string id in sources.OfType<string>().Distinct())
        {
            if (store.Find(id) is { Static: null } record && Try($"volume {id}", () => Thaw(record)) is { } problem) steps.Warn(id, problem);
        }
    }

    /// <summary>Does a part that must not keep the others from being done; what is wrong with one volume or disk is told of it alone.</summary>
    /// <returns>Why it could not be done; null where it was.</returns>
    public static string? Try(string what, Action part)
    {
        try
        {
            part();
            return null;
        }
        catch (Exception exception) when (exception is GrpcException or LinuxException or IOException or UnauthorizedAccessException)
        {
            return $"{what}: {exception.Message}";
        }
    }

    private IEnumerable<string> Describe(string image)
    {
        yield return $"image {image} has no record";
        Attachment attachment = Attachment.Of(FileIdentity.Of(image), pools.LabelOf(Path.GetFileNameWithoutExtension(image)));
        foreach (LoopDevice loop in attachment.Loops) yield return $"{loop.Path} has image {image}, which has no record";
        foreach (MountEntry mount in attachment.Mounts) yield return $"{mount.Target} is a mount of image {image}, which has no record";
    }

    private void Reconcile(VolumeRecord record, List<string> unknown)
    {
        Attachment attachment = pools.AttachmentOf(record.Id, record);
        // A target that is not mounted is made again when it is asked for; one that is stays on record.
        Publication[] gone = [.. record.Publications.Where(publication => MountTable.At(publication.Target).Count == 0)];
        bool isStaged = record.Staging is { } staging
            && (record is { Static: null, Kind: "block" } ? attachment.Own.Any() : MountTable.At(staging.Path).Count > 0);
        if (record.Static is null && record.Staging is null)
        {
            // Attached for a call that did not end, and of no use to anybody.
            foreach (LoopDevice loop in attachment.Unmounted.Where(loop => !loop.IsAutoClear))
            {
                unknown.Add($"{loop.Path} has the image of volume {record.Id}, which is not staged");
            }
        }
        unknown.AddRange(attachment.Others.Select(loop => $"{loop.Path} has the image of volume {record.Id}, and is none of this driver's"));
        foreach (LoopDevice reader in attachment.Unmounted.Where(loop => loop is { IsReadOnly: true, IsAutoClear: false } && record.Staging is { IsReadOnly: false }))
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

    private void Thaw(VolumeRecord record)
    {
        if (pools.AttachmentOf(record.Id, record).OwnMounts.FirstOrDefault(mount => mount.Type == record.Kind) is not { } mount) return;
        if (FileSystemState.Thaw(mount.Target)) steps.Warn(record.Id, "its file system was frozen; it was thawed");
    }

    /// <summary>A target that was made and never mounted.</summary>
    private void RemoveEmpty(string volume, string target)
    {
        if (Try(target, () => TargetPath.Remove(target)) is { } problem) steps.Warn(volume, $"it is not mounted, and its target stays: {problem}");
    }
}
