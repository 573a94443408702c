using Overlay.Csi.Controller;
using Overlay.Csi.Node;
using Overlay.Csi.Pools;
using Overlay.Csi.Protos;
using Overlay.Csi.State;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Snapshots;

/// <summary>Takes and removes snapshots: images that nobody writes to. The caller holds the snapshot's gate.</summary>
internal sealed class SnapshotMaking(VolumeStore store, PoolSet pools, SpaceLedger ledger, VolumeGate gate, ImageCopying copying, Steps steps)
{
    /// <summary>Finishes what an earlier process began to remove.</summary>
    /// <returns>What it cannot.</returns>
    public IReadOnlyList<string> Reconcile()
    {
        var left = new List<string>();
        foreach (SnapshotRecord record in store.Snapshots.All.Where(record => record.Phase == VolumePhase.Deleting).ToArray())
        {
            if (pools.Find(record.Pool) is not { } pool) left.Add($"snapshot {record.Id} is of pool {record.Pool}, which is not configured");
            else if (Reconciler.Try($"snapshot {record.Id}", () => Finish(pool, record)) is { } problem) left.Add(problem);
        }
        return left;
    }

    /// <exception cref="GrpcException">As CSI tells for CreateSnapshot.</exception>
    public CreateSnapshotResponse Create(string id, CreateSnapshotRequest request)
    {
        SnapshotRecord? record = store.Snapshots.Find(id);
        if (record is null) store.Snapshots.CheckUndamaged(id);
        if (record is { Phase: VolumePhase.Deleting }) throw new GrpcException(GrpcStatusCode.Aborted, $"snapshot {id} of that name is being deleted; try again");
        if (record is not null && (record.Volume != request.SourceVolumeId || record.Name != request.Name))
        {
            throw new GrpcException(GrpcStatusCode.AlreadyExists, $"snapshot {id} of that name exists, of volume {record.Volume}");
        }
        if (record is { Phase: VolumePhase.Ready }) return new CreateSnapshotResponse { Snapshot = VolumeListing.Describe(record) };
        using VolumeGate.Hold hold = gate.HoldAlso(request.SourceVolumeId);
        if (store.Find(request.SourceVolumeId) is not { Phase: VolumePhase.Ready, Static: null } volume)
        {
            throw store.NotThere(request.SourceVolumeId);
        }
        DirectoryPool pool = pools.Find(volume.Pool)
            ?? throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {volume.Id} is of pool {volume.Pool}, which is not configured");
        ImageCopying.CheckFormatted(volume);
        if (pool.Holds(id) && record is null)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"pool {pool.Name} holds an image of snapshot {id} without a record; it is kept: move it away");
        }
        // What an earlier process left of it is of another moment, and nobody was told of it.
        if (record is not null && pool.HeldBecause(record.Image, pools.LabelOf(record.Id)) is null) pool.Delete(id);
        record = new SnapshotRecord(
            id, request.Name, volume.Id, volume.Pool, volume.ImageBytes, volume.Kind, VolumePhase.Creating, 0, volume.Format, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
        steps.Next(id, "promise space");
        ledger.Promise(pool, pool.Occupied(volume.Id), () => store.Snapshots.Put(record));
        return new CreateSnapshotResponse { Snapshot = VolumeListing.Describe(Take(pool, record, volume)) };
    }

    /// <exception cref="GrpcException">FAILED_PRECONDITION: its image is in use or not the one that was made.</exception>
    public DeleteSnapshotResponse Delete(string id)
    {
        if (store.Snapshots.Find(id) is not { } record)
        {
            store.Snapshots.CheckUndamaged(id);
            if (VolumeId.IsSnapshot(id)) pools.CheckAbsent(id);
            return new DeleteSnapshotResponse();
        }
        if (pools.Find(record.Pool) is not { } pool)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"snapshot {id} is of pool {record.Pool}, which is not configured");
        }
        if (pool.HeldBecause(record.Image, pools.LabelOf(record.Id)) is { } reason) throw new GrpcException(GrpcStatusCode.FailedPrecondition, reason);
        if (record.Phase != VolumePhase.Creating)
        {
            record = record with { Phase = VolumePhase.Deleting };
            steps.Next(id, "mark deleting");
            store.Snapshots.Put(record);
        }
        Remove(pool, record);
        return new DeleteSnapshotResponse();
    }

    private void Finish(DirectoryPool pool, SnapshotRecord record)
    {
        if (pool.HeldBecause(record.Image, pools.LabelOf(record.Id)) is null) Remove(pool, record);
    }

    private SnapshotRecord Take(DirectoryPool pool, SnapshotRecord record, VolumeRecord volume)
    {
        bool isTaken = false;
        try
        {
            steps.Next(record.Id, "make image");
            record = record with { Inode = pool.Create(record.Image, target => copying.CopyVolume(volume, target)), Phase = VolumePhase.Ready };
            steps.Next(record.Id, "record image");
            store.Snapshots.Put(record);
            isTaken = true;
            return record;
        }
        finally
        {
            if (!isTaken && !pool.Holds(record.Id)) store.Snapshots.Remove(record.Id);
        }
    }

    private void Remove(DirectoryPool pool, SnapshotRecord record)
    {
        steps.Next(record.Id, "remove image");
        pool.Delete(record.Id);
        steps.Next(record.Id, "forget snapshot");
        store.Snapshots.Remove(record.Id);
    }
}
