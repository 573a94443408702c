using Google.Protobuf.WellKnownTypes;
using Overlay.Csi.Pools;
using Overlay.Csi.Protos;
using Overlay.Csi.Snapshots;
using Overlay.Csi.State;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Controller;

/// <summary>Tells of volumes, snapshots and space; changes nothing.</summary>
internal sealed class VolumeListing(NodeTopology topology, VolumeStore store, PoolSet pools)
{
    public Volume Describe(VolumeRecord record) => new()
    {
        VolumeId = record.Id,
        CapacityBytes = record.CapacityBytes,
        VolumeContext = { ["pool"] = record.Pool },
        ContentSource = VolumeSources.Parse(record.Source),
        AccessibleTopology = { topology.Here },
    };

    public static Snapshot Describe(SnapshotRecord record) => new()
    {
        SnapshotId = record.Id,
        SourceVolumeId = record.Volume,
        SizeBytes = record.Bytes,
        CreationTime = Timestamp.FromDateTimeOffset(DateTimeOffset.FromUnixTimeMilliseconds(record.CreatedUnixMilliseconds)),
        ReadyToUse = record.Phase == VolumePhase.Ready,
    };

    /// <exception cref="GrpcException">INVALID_ARGUMENT: something is missing, or a parameter that there is not. NOT_FOUND: no such volume.</exception>
    public ValidateVolumeCapabilitiesResponse Validate(ValidateVolumeCapabilitiesRequest request)
    {
        VolumeId.Check("volume_id", request.VolumeId);
        Capabilities.Check(request.VolumeCapabilities);
        if (store.Find(request.VolumeId) is not { Phase: VolumePhase.Ready, Static: null } record)
        {
            throw store.NotThere(request.VolumeId);
        }
        string? refusal = request.VolumeCapabilities.Select(capability => Capabilities.Excess(record.Made, capability)).FirstOrDefault(excess => excess is not null)
            ?? DifferenceOf(record, request);
        return refusal is not null
            ? new ValidateVolumeCapabilitiesResponse { Message = refusal }
            : new ValidateVolumeCapabilitiesResponse
            {
                Confirmed = new ValidateVolumeCapabilitiesResponse.Types.Confirmed
                {
                    VolumeContext = { request.VolumeContext },
                    VolumeCapabilities = { request.VolumeCapabilities },
                    Parameters = { request.Parameters },
                },
            };
    }

    /// <summary>What the volume's context and parameters say that it is not; null where they are its own.</summary>
    private static string? DifferenceOf(VolumeRecord record, ValidateVolumeCapabilitiesRequest request)
    {
        if (request.VolumeContext.TryGetValue("pool", out string? pool) && pool != record.Pool) return $"volume_context pool '{pool}': the volume is in {record.Pool}";
        if (request.Parameters.Count == 0) return null;
        VolumeParameters asked = VolumeParameters.Parse(request.Parameters);
        return asked.Pool is { } other && other != record.Pool ? $"parameter pool '{other}': the volume is in {record.Pool}"
            : asked.Reserved != record.Reserved ? $"parameter reservation: the volume is {(record.Reserved ? "reserved" : "thin")}"
            : asked.MkfsOptions != record.MkfsOptions ? $"parameter mkfsOptions '{asked.MkfsOptions}': the volume was made with '{record.MkfsOptions}'"
            : asked.FileSystem is { } type && record.Kind != "block" && type != record.Kind ? $"parameter fsType '{type}': the volume is {record.Kind}"
            : null;
    }

    /// <exception cref="GrpcException">ABORTED: the token is none of ours.</exception>
    public ListVolumesResponse List(ListVolumesRequest request)
    {
        (VolumeRecord[] page, string next) = Page(
            store.All.Where(record => record is { Phase: VolumePhase.Ready, Static: null }), record => record.Id, request.MaxEntries, request.StartingToken, VolumeId.IsVolume);
        return new ListVolumesResponse
        {
            Entries = { page.Select(record => new ListVolumesResponse.Types.Entry { Volume = Describe(record) }) },
            NextToken = next,
        };
    }

    /// <exception cref="GrpcException">ABORTED: the token is none of ours.</exception>
    public ListSnapshotsResponse ListSnapshots(ListSnapshotsRequest request)
    {
        IEnumerable<SnapshotRecord> asked = store.Snapshots.All.Where(record => record.Phase == VolumePhase.Ready
            && (request.SnapshotId.Length == 0 || record.Id == request.SnapshotId)
            && (request.SourceVolumeId.Length == 0 || record.Volume == request.SourceVolumeId));
        (SnapshotRecord[] page, string next) = Page(asked, record => record.Id, request.MaxEntries, request.StartingToken, VolumeId.IsSnapshot);
        return new ListSnapshotsResponse
        {
            Entries = { page.Select(record => new ListSnapshotsResponse.Types.Entry { Snapshot = Describe(record) }) },
            NextToken = next,
        };
    }

    /// <exception cref="GrpcException">INVALID_ARGUMENT: a parameter that there is not.</exception>
    public GetCapacityResponse Capacity(GetCapacityRequest request)
    {
        long smallest = VolumeRecord.BlockBytes;
        VolumeParameters parameters = VolumeParameters.Parse(request.Parameters);
        if (request.VolumeCapabilities.Count > 0)
        {
            Capabilities.Check(request.VolumeCapabilities);
            Capabilities.Choose(request.VolumeCapabilities, parameters.FileSystem);
            if (Capabilities.Refusal(request.VolumeCapabilities) is not null) return new GetCapacityResponse();
            smallest = Capabilities.Smallest(request.VolumeCapabilities);
        }
        DirectoryPool pool = pools.Find(parameters.Pool)
            ?? throw Invalid($"parameter pool '{parameters.Pool}': there are {string.Join(", ", pools.All.Select(one => one.Name))}");
        if (request.AccessibleTopology is { } asked && !topology.IsHere(asked)) return new GetCapacityResponse();
        long available = pool.Available(store.Images) / VolumeRecord.BlockBytes * VolumeRecord.BlockBytes;
        return new GetCapacityResponse { AvailableCapacity = available, MaximumVolumeSize = available, MinimumVolumeSize = smallest };
    }

    /// <summary>What comes behind the token, which is the last identifier of the page before.</summary>
    private static (T[] Page, string Next) Page<T>(IEnumerable<T> all, Func<T, string> idOf, int most, string after, Func<string, bool> isToken)
    {
        if (most < 0) throw Invalid($"max_entries {most} is negative");
        if (after.Length > 0 && !isToken(after))
        {
            throw new GrpcException(GrpcStatusCode.Aborted, $"starting_token '{after}' is none of this driver's; list from the start");
        }
        T[] rest = [.. all.Where(record => string.CompareOrdinal(idOf(record), after) > 0)];
        T[] page = most == 0 ? rest : [.. rest.Take(most)];
        return (page, page.Length < rest.Length ? idOf(page[^1]) : "");
    }

    private static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);
}
