using Google.Protobuf.Reflection;
using Overlay.Csi.Pools;
using Overlay.Csi.Protos;
using Overlay.Csi.Snapshots;
using Overlay.Rpc.Grpc;
using CapabilityType = Overlay.Csi.Protos.ControllerServiceCapability.Types.RPC.Types.Type;

namespace Overlay.Csi.Controller;

/// <summary>Volumes and snapshots of this node's pools. Each call is checked here, and let in one at a time a volume.</summary>
internal sealed class ControllerService(
    PoolSet pools, VolumeGate gate, VolumeMaking volumes, VolumeListing listing, SnapshotMaking snapshots)
{
    /// <summary>What the snapshotter's <c>--extra-create-metadata</c> adds.</summary>
    private const string SnapshotMetadata = "csi.storage.k8s.io/volumesnapshot";

    public void AddTo(GrpcRoutes routes)
    {
        var service = CsiReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Controller");
        routes
            .Checked(
                new GrpcMethod<ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse>(service, "ControllerGetCapabilities"),
                (_, _) => Task.FromResult(Offered()))
            .Checked(new GrpcMethod<CreateVolumeRequest, CreateVolumeResponse>(service, "CreateVolume"), CreateAsync)
            .Checked(new GrpcMethod<DeleteVolumeRequest, DeleteVolumeResponse>(service, "DeleteVolume"), DeleteAsync)
            .Checked(new GrpcMethod<ControllerExpandVolumeRequest, ControllerExpandVolumeResponse>(service, "ControllerExpandVolume"), ExpandAsync)
            .Checked(
                new GrpcMethod<ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse>(service, "ValidateVolumeCapabilities"),
                (request, _) => Tell(listing.Validate, request))
            .Checked(new GrpcMethod<ListVolumesRequest, ListVolumesResponse>(service, "ListVolumes"), (request, _) => Tell(listing.List, request))
            .Checked(new GrpcMethod<GetCapacityRequest, GetCapacityResponse>(service, "GetCapacity"), (request, _) => Tell(listing.Capacity, request))
            .Checked(new GrpcMethod<CreateSnapshotRequest, CreateSnapshotResponse>(service, "CreateSnapshot"), CreateSnapshotAsync)
            .Checked(new GrpcMethod<DeleteSnapshotRequest, DeleteSnapshotResponse>(service, "DeleteSnapshot"), DeleteSnapshotAsync)
            .Checked(new GrpcMethod<ListSnapshotsRequest, ListSnapshotsResponse>(service, "ListSnapshots"), (request, _) => Tell(listing.ListSnapshots, request));
    }

    private static ControllerGetCapabilitiesResponse Offered()
    {
        CapabilityType[] offered =
        [
            CapabilityType.CreateDeleteVolume, CapabilityType.ListVolumes, CapabilityType.GetCapacity, CapabilityType.CreateDeleteSnapshot,
            CapabilityType.ListSnapshots, CapabilityType.CloneVolume, CapabilityType.ExpandVolume, CapabilityType.SingleNodeMultiWriter,
        ];
        return new ControllerGetCapabilitiesResponse
        {
            Capabilities = { offered.Select(type => new ControllerServiceCapability { Rpc = new ControllerServiceCapability.Types.RPC { Type = type } }) },
        };
    }

    private async Task<CreateVolumeResponse> CreateAsync(CreateVolumeRequest request, GrpcCall call)
    {
        VolumeId.CheckName(request.Name);
        Capabilities.Check(request.VolumeCapabilities);
        if (request.MutableParameters.Count > 0) throw Invalid("mutable_parameters: there are none");
        VolumeParameters parameters = VolumeParameters.Parse(request.Parameters);
        Capabilities.Choose(request.VolumeCapabilities, parameters.FileSystem);
        if (Capabilities.Refusal(request.VolumeCapabilities) is { } refusal) throw Invalid(refusal);
        if (parameters.Pool is { } name && pools.Find(name) is null)
        {
            throw Invalid($"parameter pool '{name}': there are {string.Join(", ", pools.All.Select(pool => pool.Name))}");
        }
        if (Formatting.MkfsOptions.Refusal(Capabilities.KindOf(request.VolumeCapabilities[0]), parameters.MkfsOptions) is { } wrong)
        {
            throw Invalid($"parameter mkfsOptions: {wrong}");
        }
        string id = VolumeId.OfVolume(request.Name);
        return await gate.RunAsync(id, request, () => volumes.Create(id, request, parameters), call.Cancellation).ConfigureAwait(false);
    }

    private async Task<DeleteVolumeResponse> DeleteAsync(DeleteVolumeRequest request, GrpcCall call)
    {
        VolumeId.Check("volume_id", request.VolumeId);
        return await gate.RunAsync(request.VolumeId, request, () => volumes.Delete(request.VolumeId), call.Cancellation).ConfigureAwait(false);
    }

    private async Task<ControllerExpandVolumeResponse> ExpandAsync(ControllerExpandVolumeRequest request, GrpcCall call)
    {
        VolumeId.Check("volume_id", request.VolumeId);
        if (request.CapacityRange is null) throw Invalid("capacity_range is missing");
        (long required, long limit) = Capabilities.Range(request.CapacityRange);
        return await gate.RunAsync(request.VolumeId, request, () => volumes.Expand(request.VolumeId, required, limit), call.Cancellation).ConfigureAwait(false);
    }

    private async Task<CreateSnapshotResponse> CreateSnapshotAsync(CreateSnapshotRequest request, GrpcCall call)
    {
        VolumeId.CheckName(request.Name);
        VolumeId.Check("source_volume_id", request.SourceVolumeId);
        if (request.Parameters.Keys.FirstOrDefault(key => !key.StartsWith(SnapshotMetadata, StringComparison.Ordinal)) is { } unknown)
        {
            throw Invalid($"parameter '{unknown}' is unknown: snapshots have none");
        }
        string id = VolumeId.OfSnapshot(request.Name);
        return await gate.RunAsync(id, request, () => snapshots.Create(id, request), call.Cancellation).ConfigureAwait(false);
    }

    private async Task<DeleteSnapshotResponse> DeleteSnapshotAsync(DeleteSnapshotRequest request, GrpcCall call)
    {
        VolumeId.Check("snapshot_id", request.SnapshotId);
        return await gate.RunAsync(request.SnapshotId, request, () => snapshots.Delete(request.SnapshotId), call.Cancellation).ConfigureAwait(false);
    }

    private Task<TResponse> Tell<TRequest, TResponse>(Func<TRequest, TResponse> tell, TRequest request)
    {
        gate.CheckOpen();
        return VolumeGate.StartAsync(() => tell(request));
    }

    private static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);
}
