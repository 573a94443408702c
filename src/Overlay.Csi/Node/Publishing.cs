using Overlay.Csi.Pools;
using Overlay.Csi.Protos;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi.Node;

/// <summary>What a publication is asked to be.</summary>
/// <param name="Staging">Where the volume is staged.</param>
/// <param name="Arguments">Digest of what makes it differ from another publication at the same target.</param>
/// <param name="Pod">Namespace and name, where they were told.</param>
internal sealed record PublishOrder(
    string Staging, string Target, VolumeCapability Capability, bool IsReadOnly, string Arguments, string? Pod);

/// <summary>Takes a staged volume to where a pod finds it; and back.</summary>
internal sealed class Publishing(VolumeStore store, PoolSet pools, MountOwners owners, Func<VolumeRecord, FileDescriptor> openImage, Steps steps)
{
    /// <exception cref="GrpcException">As CSI tells for NodePublishVolume.</exception>
    public void Publish(VolumeRecord record, PublishOrder order)
    {
        bool isBlock = order.Capability.Block is not null;
        MountOptions options = MountOptions.Parse(order.Capability.Mount?.MountFlags ?? []);
        bool readOnly = order.IsReadOnly || options.IsReadOnly || Capabilities.IsReader(order.Capability.AccessMode.Mode);
        Attachment attachment = pools.AttachmentOf(record.Id, record);
        MountEntry? staged = isBlock ? null : StagedAt(record, order.Staging, attachment);
        LoopDevice? device = isBlock ? attachment.Own.FirstOrDefault(loop => !loop.IsReadOnly) ?? attachment.Own.FirstOrDefault() : null;
        bool isStagedThere = record.Staging is { } staging && MountTable.Canonical(staging.Path) == MountTable.Canonical(order.Staging);
        if (isBlock ? device is null || !isStagedThere : staged is null)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {record.Id} is not staged at {order.Staging}; nothing is published");
        }
        if ((staged?.IsReadOnly ?? device!.IsReadOnly) && !readOnly)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {record.Id} is staged for readers only");
        }
        if (IsPublished(record, order, attachment, readOnly)) return;
        CheckOthers(record, order, attachment);
        steps.Next(record.Id, "record publication");
        store.Put(record.With(new Publication(order.Target, readOnly, order.Arguments, order.Pod, order.Capability.AccessMode.Mode == Mode.SingleNodeSingleWriter)));
        bool wasThere = FileIdentity.OfLink(order.Target) is not null;
        bool isPublished = false;
        try
        {
            steps.Next(record.Id, "make target");
            TargetPath.Make(order.Target, isBlock);
            if (isBlock && readOnly && !device!.IsReadOnly) device = ReaderOf(record, attachment);
            using DetachedMount mount = DetachedMount.Copy(isBlock ? device!.Path : order.Staging);
            MountAttributes restricted = readOnly ? options.Attributes | MountAttributes.ReadOnly : options.Attributes;
            if (restricted != MountAttributes.None) mount.Restrict(restricted);
            steps.Next(record.Id, "publish");
            mount.MoveTo(order.Target);
            isPublished = true;
        }
        finally
        {
            if (!isPublished) Forget(record, order.Target, wasThere);
        }
        steps.Next(record.Id, "published");
    }

    /// <summary>Nothing was published: what is on record and at the target is again what was.</summary>
    private void Forget(VolumeRecord record, string target, bool wasThere)
    {
        string? problem = Reconciler.Try("its target stays recorded", () =>
        {
            if (!wasThere) TargetPath.Remove(target);
            DetachReaders(record.Id, record);
            store.Put(record);
        });
        if (problem is not null) steps.Warn(record.Id, problem);
    }

    /// <summary>Undoes it, also where no record is left, and removes the target. Nothing happens where there is nothing.</summary>
    /// <exception cref="GrpcException">UNAVAILABLE: the target is busy. FAILED_PRECONDITION: it holds something else.</exception>
    public void Unpublish(string id, VolumeRecord? record, string target)
    {
        owners.Check(id, record, target);
        steps.Next(id, "unmount target");
        TargetPath.Unmount(target);
        steps.Next(id, "remove target");
        TargetPath.Remove(target);
        DetachReaders(id, record);
        if (record is null || record.Publications.All(publication => publication.Target != target)) return;
        steps.Next(id, "forget publication");
        store.Put(record.WithoutPublication(target));
    }

    /// <summary>Takes away the devices for readers of a raw block volume that nobody has any more.</summary>
    private void DetachReaders(string id, VolumeRecord? record)
    {
        if (record is { Static: not null }) return;
        Attachment attachment = pools.AttachmentOf(id, record);
        bool stagedForReaders = record?.Staging is { IsReadOnly: true };
        LoopDevice[] readers = [.. attachment.Unmounted.Where(loop => loop is { IsReadOnly: true, IsAutoClear: false } && !stagedForReaders)];
        foreach (LoopDevice reader in readers)
        {
            steps.Next(id, "detach reader");
            LoopDevices.Detach(reader);
        }
        Detaching.Await(id, () => readers.Select(reader => LoopDevices.At(reader.Path)).FirstOrDefault(device => device?.Label == attachment.Label));
    }

    /// <summary>The mount at the staging path, if it is of the volume; anything else there would show a pod the disk of the host.</summary>
    private static MountEntry? StagedAt(VolumeRecord record, string staging, Attachment attachment)
    {
        if (record.Static is null) return attachment.At(staging);
        return record.Staging is { } known && MountTable.Canonical(known.Path) == MountTable.Canonical(staging)
            && MountTable.At(staging) is [.., { } top] && top.Identity == known.Mount ? top : null;
    }

    private static bool IsPublished(VolumeRecord record, PublishOrder order, Attachment attachment, bool readOnly)
    {
        if (MountTable.At(order.Target) is not [.., { } top]) return false;
        Publication? known = record.Publications.FirstOrDefault(publication => publication.Target == order.Target);
        if (record.Static is null ? attachment.At(order.Target) is null : known is null || top.Identity != record.Staging?.Mount)
        {
            throw new GrpcException(GrpcStatusCode.AlreadyExists, $"{order.Target} has {top.Source} ({top.Type}) mounted, which is not volume {record.Id}");
        }
        if (top.IsReadOnly == readOnly && (known is null || known.Arguments == order.Arguments)) return true;
        throw new GrpcException(GrpcStatusCode.AlreadyExists, $"volume {record.Id} is published at {order.Target} with other arguments");
    }

    private static void CheckOthers(VolumeRecord record, PublishOrder order, Attachment attachment)
    {
        string staging = MountTable.Canonical(order.Staging);
        string target = MountTable.Canonical(order.Target);
        if (record.Publications.FirstOrDefault(known => known.IsAlone && MountTable.Canonical(known.Target) != target && MountTable.At(known.Target).Count > 0) is { } alone)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {record.Id} is published at {alone.Target} for a single writer, beside whom there is no other");
        }
        if (Capabilities.AreMany(order.Capability.AccessMode.Mode)) return;
        IEnumerable<string> mounted = record.Static is null
            ? attachment.Mounts.Select(mount => mount.Target)
            : record.Publications.Where(publication => MountTable.At(publication.Target).Count > 0).Select(publication => MountTable.Canonical(publication.Target));
        if (mounted.FirstOrDefault(other => other != staging && other != target) is { } taken)
        {
            throw new GrpcException(
                GrpcStatusCode.FailedPrecondition, $"volume {record.Id} is published at {taken}, and access mode {order.Capability.AccessMode.Mode} allows one target");
        }
    }

    /// <summary>A device of its own that refuses to be written: a read-only mount of a node does not keep writers from the device.</summary>
    private LoopDevice ReaderOf(VolumeRecord record, Attachment attachment)
    {
        if (attachment.Own.FirstOrDefault(loop => loop.IsReadOnly) is { } present) return present;
        steps.Next(record.Id, "attach reader");
        using FileDescriptor image = openImage(record);
        using AttachedLoop loop = LoopDevices.Attach(image, readOnly: true, autoClear: false, pools.LabelOf(record.Id));
        return loop.Device;
    }
}
