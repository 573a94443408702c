using Overlay.Csi.Pools;
using Overlay.Csi.Protos;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Rpc.Grpc;
using SourceType = Overlay.Csi.Protos.VolumeContentSource.TypeOneofCase;

namespace Overlay.Csi.Snapshots;

/// <summary>What a new volume is to hold. Nothing else happens to it until this is disposed.</summary>
/// <param name="Format">The file system on it; null: none yet.</param>
/// <param name="CopyTo">Puts all of it into an empty file.</param>
internal sealed record VolumeSource(PoolImage Image, FormatRecord? Format, Action<FileDescriptor> CopyTo, VolumeGate.Hold Hold) : IDisposable
{
    public void Dispose() => Hold.Dispose();
}

/// <summary>Snapshots and volumes that new volumes are made from.</summary>
internal sealed class VolumeSources(VolumeStore store, PoolSet pools, VolumeGate gate, ImageCopying copying)
{
    /// <summary>One notation of a source; null where there is none.</summary>
    public static string? Notation(VolumeContentSource? source) => source?.TypeCase switch
    {
        SourceType.Snapshot => $"snapshot:{source.Snapshot.SnapshotId}",
        SourceType.Volume => $"volume:{source.Volume.VolumeId}",
        _ => null,
    };

    public static VolumeContentSource? Parse(string? notation) => notation?.Split(':', 2) switch
    {
        ["snapshot", var id] => new VolumeContentSource { Snapshot = new VolumeContentSource.Types.SnapshotSource { SnapshotId = id } },
        ["volume", var id] => new VolumeContentSource { Volume = new VolumeContentSource.Types.VolumeSource { VolumeId = id } },
        _ => null,
    };

    /// <summary>Null where none is asked for.</summary>
    /// <param name="own">Identifier of the new volume.</param>
    /// <param name="kind">Of the new volume, which has to be that of the source.</param>
    /// <exception cref="GrpcException">NOT_FOUND: there is no such. INVALID_ARGUMENT: it is of another kind. ABORTED: a call on it runs.</exception>
    public VolumeSource? Open(string own, VolumeContentSource? source, string kind)
    {
        if (source is null) return null;
        if (source.TypeCase == SourceType.None) throw Invalid("volume_content_source is neither snapshot nor volume");
        string id = source.TypeCase == SourceType.Snapshot ? source.Snapshot.SnapshotId : source.Volume.VolumeId;
        if (id.Length == 0) throw Invalid("volume_content_source: its identifier is missing");
        if (id == own) throw NotFound($"volume {id}");
        // A snapshot is only read; writers to a volume have to wait, and for one at a time.
        VolumeGate.Hold hold = gate.HoldAlso(id, isShared: source.TypeCase == SourceType.Snapshot);
        try
        {
            return source.TypeCase == SourceType.Snapshot ? OfSnapshot(id, kind, hold) : OfVolume(id, kind, hold);
        }
        catch
        {
            hold.Dispose();
            throw;
        }
    }

    private VolumeSource OfSnapshot(string id, string kind, VolumeGate.Hold hold)
    {
        store.Snapshots.CheckUndamaged(id);
        if (store.Snapshots.Find(id) is not { Phase: VolumePhase.Ready } snapshot) throw NotFound($"snapshot {id}");
        CheckKind(kind, snapshot.Kind);
        return new VolumeSource(snapshot.Image, CopyOf(snapshot.Format), target => copying.Copy(snapshot.Image, target), hold);
    }

    private VolumeSource OfVolume(string id, string kind, VolumeGate.Hold hold)
    {
        store.CheckUndamaged(id);
        if (store.Find(id) is not { Phase: VolumePhase.Ready, Static: null } volume || pools.Find(volume.Pool) is null) throw NotFound($"volume {id}");
        CheckKind(kind, volume.Kind);
        ImageCopying.CheckFormatted(volume);
        return new VolumeSource(volume.Image, CopyOf(volume.Format), target => copying.CopyVolume(volume, target), hold);
    }

    private static FormatRecord? CopyOf(FormatRecord? format) => format is null ? null : format with { IsCopy = true };

    private static void CheckKind(string asked, string found)
    {
        if (asked != found) throw Invalid($"volume_content_source: it is {found}, and cannot become {asked}");
    }

    private static GrpcException NotFound(string what) => new(GrpcStatusCode.NotFound, $"volume_content_source: there is no {what} here");

    private static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);
}
