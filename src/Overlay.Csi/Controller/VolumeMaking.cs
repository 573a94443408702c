using Overlay.Csi.Formatting;
using Overlay.Csi.Node;
using Overlay.Csi.Pools;
using Overlay.Csi.Protos;
using Overlay.Csi.Snapshots;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Controller;

/// <summary>Makes, grows and removes the images of volumes. The caller holds the volume's gate.</summary>
internal sealed class VolumeMaking(
    NodeTopology topology, VolumeStore store, PoolSet pools, SpaceLedger ledger, VolumeSources sources, FileSystems fileSystems, VolumeListing listing, Steps steps)
{
    private const long DefaultBytes = 1L << 30;

    /// <summary>Finishes what an earlier process began to remove or to grow. Returns what it cannot.</summary>
    public IReadOnlyList<string> Reconcile()
    {
        var left = new List<string>();
        foreach (VolumeRecord record in store.All.Where(record => record.Static is null).ToArray())
        {
            if (pools.Find(record.Pool) is not { } pool)
            {
                left.Add($"volume {record.Id} is of pool {record.Pool}, which is not configured");
            }
            else if (Reconciler.Try($"volume {record.Id}", () => Finish(pool, record)) is { } problem)
            {
                left.Add(problem);
            }
        }
        return left;
    }

    private void Finish(DirectoryPool pool, VolumeRecord record)
    {
        if (record.Phase == VolumePhase.Deleting && pool.HeldBecause(record.Image, pools.LabelOf(record.Id)) is null) Remove(pool, record);
        else if (record.GrowingTo > 0 && pool.Holds(record.Id)) Grow(pool, record);
    }

    /// <exception cref="GrpcException">As CSI tells for CreateVolume.</exception>
    public CreateVolumeResponse Create(string id, CreateVolumeRequest request, VolumeParameters parameters)
    {
        string shape = $"{(parameters.Reserved ? "reserved" : "thin")} {Capabilities.Notation(request.VolumeCapabilities)}";
        string? origin = VolumeSources.Notation(request.VolumeContentSource);
        VolumeRecord? record = store.Find(id);
        if (record is { Phase: VolumePhase.Deleting })
        {
            throw new GrpcException(GrpcStatusCode.Aborted, $"volume {id} of that name is being deleted; try again");
        }
        if (record is not null)
        {
            CheckSame(record, request, shape, parameters, origin);
            if (record.Phase == VolumePhase.Ready) return new CreateVolumeResponse { Volume = listing.Describe(record) };
        }
        else if (!topology.IsHere(request.AccessibilityRequirements))
        {
            throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"accessibility_requirements: the pools here reach {topology.Key}={topology.Node} only");
        }
        else
        {
            store.CheckUndamaged(id);
        }
        using VolumeSource? source = sources.Open(id, request.VolumeContentSource, Capabilities.KindOf(request.VolumeCapabilities[0]));
        if (record is null)
        {
            DirectoryPool pool = pools.Find(parameters.Pool ?? source?.Image.Pool)!;
            if (source is not null && source.Image.Pool != pool.Name) throw Invalid($"parameter pool '{pool.Name}': the source is in pool {source.Image.Pool}");
            record = new VolumeRecord(id, request.Name, pool.Name, SizeOf(request, source), parameters.Reserved, shape, VolumePhase.Creating, 0)
            {
                Format = source?.Format,
                MkfsOptions = parameters.MkfsOptions,
                Source = origin,
            };
            if (pool.Holds(id))
            {
                throw new GrpcException(
                    GrpcStatusCode.FailedPrecondition, $"pool {pool.Name} holds an image of volume {id} without a record; it is kept: restore its record, or move it away");
            }
            if (record.MkfsOptions.Length > 0 && source is null) CheckMkfs(record);
            steps.Next(id, "promise space");
            ledger.Promise(pool, record.CapacityBytes, () => store.Put(record));
        }
        return new CreateVolumeResponse { Volume = listing.Describe(MakeImage(record, source)) };
    }

    /// <exception cref="GrpcException">FAILED_PRECONDITION: it is in use, or its image is not the one that was made.</exception>
    public DeleteVolumeResponse Delete(string id)
    {
        if (store.Find(id) is not { } record)
        {
            store.CheckUndamaged(id);
            if (VolumeId.IsVolume(id)) pools.CheckAbsent(id);
            return new DeleteVolumeResponse();
        }
        if (record.Static is not null) throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {id} is staged at {record.Staging?.Path}; unstage it first");
        if (pools.Find(record.Pool) is not { } pool)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {id} is of pool {record.Pool}, which is not configured");
        }
        if (pool.HeldBecause(record.Image, pools.LabelOf(record.Id)) is { } reason) throw new GrpcException(GrpcStatusCode.FailedPrecondition, reason);
        if (record.Phase != VolumePhase.Creating)
        {
            record = record with { Phase = VolumePhase.Deleting };
            steps.Next(id, "mark deleting");
            store.Put(record);
        }
        Remove(pool, record);
        return new DeleteVolumeResponse();
    }

    /// <exception cref="GrpcException">As CSI tells for ControllerExpandVolume.</exception>
    public ControllerExpandVolumeResponse Expand(string id, long required, long limit)
    {
        if (store.Find(id) is not { Phase: VolumePhase.Ready, Static: null } record) throw store.NotThere(id);
        if (limit > 0 && limit < record.CapacityBytes)
        {
            throw new GrpcException(GrpcStatusCode.OutOfRange, $"limit_bytes {limit}: volume {id} has {record.CapacityBytes} bytes, and none shrinks");
        }
        if (required > long.MaxValue - VolumeRecord.BlockBytes) throw new GrpcException(GrpcStatusCode.OutOfRange, $"required_bytes {required} is too large");
        DirectoryPool pool = pools.Find(record.Pool)
            ?? throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {id} is of pool {record.Pool}, which is not configured");
        if (required > record.CapacityBytes)
        {
            using (pool.Open(record.Image, record.ImageBytes, writable: false))
            {
                // Only to see that it is whole: nothing is promised for another.
            }
            long more = VolumeRecord.InBlocks(required) - record.ImageBytes;
            record = record with { GrowingTo = required };
            steps.Next(id, "promise space");
            ledger.Promise(pool, more, () => store.Put(record));
            record = Grow(pool, record);
        }
        return new ControllerExpandVolumeResponse { CapacityBytes = record.CapacityBytes, NodeExpansionRequired = true };
    }

    private VolumeRecord Grow(DirectoryPool pool, VolumeRecord record)
    {
        steps.Next(record.Id, "grow image");
        try
        {
            pool.Grow(record.Image, record.ImageBytes);
            record = record with { CapacityBytes = record.GrowingTo, GrowingTo = 0 };
        }
        catch (LinuxException exception) when (exception.IsNoSpace)
        {
            store.Put(record with { GrowingTo = 0 });
            throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"pool {pool.Name}: {exception.Message}", exception);
        }
        steps.Next(record.Id, "record size");
        store.Put(record);
        return record;
    }

    private VolumeRecord MakeImage(VolumeRecord record, VolumeSource? source)
    {
        DirectoryPool pool = pools.Find(record.Pool)
            ?? throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {record.Id} is of pool {record.Pool}, which is not configured");
        bool isMade = false;
        try
        {
            steps.Next(record.Id, "make image");
            record = record with { Inode = pool.Create(record.Image, source is null ? null : source.CopyTo), Phase = VolumePhase.Ready };
            isMade = true;
        }
        finally
        {
            // Nobody was told of it: what it was promised would stay promised.
            if (!isMade && !pool.Holds(record.Id)) store.Remove(record.Id);
        }
        steps.Next(record.Id, "record image");
        store.Put(record);
        return record;
    }

    private void Remove(DirectoryPool pool, VolumeRecord record)
    {
        steps.Next(record.Id, "remove image");
        pool.Delete(record.Id);
        steps.Next(record.Id, "forget volume");
        store.Remove(record.Id);
    }

    /// <summary>The program tells now what it would have against its options when the volume is staged.</summary>
    private void CheckMkfs(VolumeRecord record)
    {
        string trial = store.TrialPathOf(record.Id);
        string? refusal;
        using (var file = new FileStream(trial, FileMode.Create, FileAccess.Write, FileShare.ReadWrite, 1, FileOptions.DeleteOnClose))
        {
            file.SetLength(record.ImageBytes);
            refusal = fileSystems.Refusal(record.Kind, trial, record.MkfsOptions);
        }
        if (refusal is not null) throw Invalid($"parameter mkfsOptions: {refusal}");
    }

    private void CheckSame(VolumeRecord record, CreateVolumeRequest request, string shape, VolumeParameters parameters, string? origin)
    {
        (long required, long limit) = Capabilities.Range(request.CapacityRange);
        string? difference =
            record.Name != request.Name ? $"name '{record.Name}'"
            : record.CapacityBytes < required || (limit > 0 && record.CapacityBytes > limit) ? $"{record.CapacityBytes} bytes"
            : parameters.Pool is { } pool && record.Pool != pool ? $"pool {record.Pool}"
            : record.Source != origin ? record.Source is null ? "no source" : $"source {record.Source}"
            : record.MkfsOptions != parameters.MkfsOptions ? $"mkfsOptions '{record.MkfsOptions}'"
            : record.Shape != shape ? record.Shape
            : !topology.IsHere(request.AccessibilityRequirements) ? $"topology {topology.Key}={topology.Node}"
            : null;
        if (difference is not null)
        {
            throw new GrpcException(GrpcStatusCode.AlreadyExists, $"volume {record.Id} of that name exists with {difference}");
        }
    }

    private static long SizeOf(CreateVolumeRequest request, VolumeSource? source)
    {
        (long required, long limit) = Capabilities.Range(request.CapacityRange);
        long smallest = Math.Max(source?.Image.Bytes ?? 0, Capabilities.Smallest(request.VolumeCapabilities));
        if (source is not null && required > 0 && required < source.Image.Bytes)
        {
            throw new GrpcException(GrpcStatusCode.OutOfRange, $"capacity_range: required_bytes {required} is less than the {source.Image.Bytes} bytes of the source");
        }
        long standard = source?.Image.Bytes ?? DefaultBytes;
        long wanted = required > 0 ? required : limit > 0 ? Math.Max(smallest, Math.Min(limit / VolumeRecord.BlockBytes * VolumeRecord.BlockBytes, standard)) : standard;
        long size = Math.Max(wanted, smallest);
        if (size > long.MaxValue - VolumeRecord.BlockBytes) throw new GrpcException(GrpcStatusCode.OutOfRange, $"capacity_range: {size} bytes is too large");
        size = VolumeRecord.InBlocks(size);
        return limit == 0 || size <= limit ? size : throw new GrpcException(
            GrpcStatusCode.OutOfRange, $"capacity_range: such a volume has at least {smallest} bytes and a multiple of {VolumeRecord.BlockBytes}, so {size}: more than limit_bytes {limit}");
    }

    private static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);
}
