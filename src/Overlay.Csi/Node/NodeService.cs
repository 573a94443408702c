using Google.Protobuf;
using Google.Protobuf.Reflection;
using Overlay.Csi.Protos;
using Overlay.Csi.State;
using Overlay.Csi.Static;
using Overlay.Rpc.Grpc;
using CapabilityType = Overlay.Csi.Protos.NodeServiceCapability.Types.RPC.Types.Type;

namespace Overlay.Csi.Node;

/// <summary>Volumes where pods use them. Each call is checked here, let in one at a time a volume, and done by the others.</summary>
internal sealed class NodeService(
    CsiOptions options,
    VolumeStore store,
    VolumeGate gate,
    ImageStaging images,
    StaticStaging statics,
    Publishing publishing,
    VolumeStats stats,
    Expansion expansion)
{
    private const string PodName = "csi.storage.k8s.io/pod.name";
    private const string PodNamespace = "csi.storage.k8s.io/pod.namespace";

    private readonly TargetPath _paths = new(options.StateFolder, [.. options.Pools.Select(pool => pool.Folder)], options.Socket);

    public void AddTo(GrpcRoutes routes)
    {
        var service = CsiReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Node");
        routes
            .Checked(
                new GrpcMethod<NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse>(service, "NodeGetCapabilities"),
                (_, _) => Task.FromResult(Offered()))
            .Checked(new GrpcMethod<NodeGetInfoRequest, NodeGetInfoResponse>(service, "NodeGetInfo"), (_, _) => Task.FromResult(new NodeGetInfoResponse
            {
                NodeId = options.NodeId,
                MaxVolumesPerNode = options.MaxVolumes,
                AccessibleTopology = new Topology { Segments = { [options.TopologyKey] = options.NodeId } },
            }))
            .Checked(new GrpcMethod<NodeStageVolumeRequest, NodeStageVolumeResponse>(service, "NodeStageVolume"), StageAsync)
            .Checked(new GrpcMethod<NodeUnstageVolumeRequest, NodeUnstageVolumeResponse>(service, "NodeUnstageVolume"), UnstageAsync)
            .Checked(new GrpcMethod<NodePublishVolumeRequest, NodePublishVolumeResponse>(service, "NodePublishVolume"), PublishAsync)
            .Checked(new GrpcMethod<NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse>(service, "NodeUnpublishVolume"), UnpublishAsync)
            .Checked(new GrpcMethod<NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse>(service, "NodeGetVolumeStats"), StatsAsync)
            .Checked(new GrpcMethod<NodeExpandVolumeRequest, NodeExpandVolumeResponse>(service, "NodeExpandVolume"), ExpandAsync);
    }

    private static NodeGetCapabilitiesResponse Offered()
    {
        CapabilityType[] offered =
        [
            CapabilityType.StageUnstageVolume, CapabilityType.GetVolumeStats, CapabilityType.ExpandVolume, CapabilityType.VolumeCondition,
            CapabilityType.SingleNodeMultiWriter,
        ];
        return new NodeGetCapabilitiesResponse
        {
            Capabilities = { offered.Select(type => new NodeServiceCapability { Rpc = new NodeServiceCapability.Types.RPC { Type = type } }) },
        };
    }

    private Task<NodeStageVolumeResponse> StageAsync(NodeStageVolumeRequest request, GrpcCall call)
    {
        VolumeId.Check("volume_id", request.VolumeId);
        request.StagingTargetPath = _paths.Check("staging_target_path", request.StagingTargetPath);
        Capabilities.Check("volume_capability", request.VolumeCapability);
        return gate.RunAsync(request.VolumeId, request, () => Stage(request), call.Cancellation);
    }

    private NodeStageVolumeResponse Stage(NodeStageVolumeRequest request)
    {
        string arguments = DigestOf(request.VolumeCapability);
        if (StaticVolume.Is(request.VolumeContext) && !VolumeId.IsVolume(request.VolumeId))
        {
            if (request.VolumeCapability.Mount is not { } mount) throw Invalid("volume_capability: a static volume is no raw block volume");
            if (mount.VolumeMountGroup.Length > 0) throw Invalid("volume_mount_group is not offered: use fsGroupPolicy: File");
            StaticVolume volume = StaticVolume.Parse(request.VolumeContext, mount.MountFlags, options.Allowed);
            if (volume.Kind == "tmpfs" && Capabilities.IsManyNodes(request.VolumeCapability.AccessMode.Mode))
            {
                throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"access mode {request.VolumeCapability.AccessMode.Mode}: a tmpfs is on one node");
            }
            statics.Stage(
                request.VolumeId,
                volume,
                request.StagingTargetPath,
                VolumeId.Digest($"{arguments} {volume.Kind} {volume.Source}"),
                $"static {volume.Kind}/{request.VolumeCapability.AccessMode.Mode}",
                request.Secrets);
            return new NodeStageVolumeResponse();
        }
        VolumeRecord record = Find(request.VolumeId);
        if (Capabilities.Excess(record.Made, request.VolumeCapability) is { } excess) throw new GrpcException(GrpcStatusCode.FailedPrecondition, excess);
        images.Stage(record, request.StagingTargetPath, request.VolumeCapability, arguments);
        return new NodeStageVolumeResponse();
    }

    private Task<NodeUnstageVolumeResponse> UnstageAsync(NodeUnstageVolumeRequest request, GrpcCall call)
    {
        VolumeId.Check("volume_id", request.VolumeId);
        request.StagingTargetPath = _paths.Check("staging_target_path", request.StagingTargetPath);
        return gate.RunAsync(
            request.VolumeId,
            request,
            () =>
            {
                VolumeRecord? record = store.Find(request.VolumeId);
                if (record is { Static: not null }) statics.Unstage(record, request.StagingTargetPath);
                else images.Unstage(request.VolumeId, record, request.StagingTargetPath);
                return new NodeUnstageVolumeResponse();
            },
            call.Cancellation);
    }

    private Task<NodePublishVolumeResponse> PublishAsync(NodePublishVolumeRequest request, GrpcCall call)
    {
        VolumeId.Check("volume_id", request.VolumeId);
        request.TargetPath = _paths.Check("target_path", request.TargetPath);
        Capabilities.Check("volume_capability", request.VolumeCapability);
        if (request.StagingTargetPath.Length == 0) throw new GrpcException(GrpcStatusCode.FailedPrecondition, "staging_target_path is missing: volumes are staged first");
        request.StagingTargetPath = _paths.Check("staging_target_path", request.StagingTargetPath);
        TargetPath.CheckApart(request.StagingTargetPath, request.TargetPath);
        return gate.RunAsync(request.VolumeId, request, () => Publish(request), call.Cancellation);
    }

    private NodePublishVolumeResponse Publish(NodePublishVolumeRequest request)
    {
        VolumeRecord record = Find(request.VolumeId);
        if (record.Static is null && Capabilities.Excess(record.Made, request.VolumeCapability) is { } excess)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, excess);
        }
        if (record.Static is not null && request.VolumeCapability.Block is not null) throw Invalid("volume_capability: a static volume is no raw block volume");
        string? pod = request.VolumeContext.TryGetValue(PodName, out string? name)
            ? $"{request.VolumeContext.GetValueOrDefault(PodNamespace, "")}/{name}"
            : null;
        publishing.Publish(record, new PublishOrder(
            request.StagingTargetPath,
            request.TargetPath,
            request.VolumeCapability,
            request.Readonly,
            VolumeId.Digest($"{DigestOf(request.VolumeCapability)} {request.Readonly}"),
            pod));
        return new NodePublishVolumeResponse();
    }

    private Task<NodeUnpublishVolumeResponse> UnpublishAsync(NodeUnpublishVolumeRequest request, GrpcCall call)
    {
        VolumeId.Check("volume_id", request.VolumeId);
        request.TargetPath = _paths.Check("target_path", request.TargetPath);
        return gate.RunAsync(
            request.VolumeId,
            request,
            () =>
            {
                publishing.Unpublish(request.VolumeId, store.Find(request.VolumeId), request.TargetPath);
                return new NodeUnpublishVolumeResponse();
            },
            call.Cancellation);
    }

    private Task<NodeGetVolumeStatsResponse> StatsAsync(NodeGetVolumeStatsRequest request, GrpcCall call)
    {
        VolumeId.Check("volume_id", request.VolumeId);
        CheckVolumePath(request.VolumeId, request.VolumePath);
        gate.CheckOpen();
        return stats.AtAsync(request.VolumeId, request.VolumePath, call.Cancellation);
    }

    private Task<NodeExpandVolumeResponse> ExpandAsync(NodeExpandVolumeRequest request, GrpcCall call)
    {
        VolumeId.Check("volume_id", request.VolumeId);
        CheckVolumePath(request.VolumeId, request.VolumePath);
        (long required, long limit) = Capabilities.Range(request.CapacityRange);
        return gate.RunAsync(
            request.VolumeId,
            request,
            () => new NodeExpandVolumeResponse { CapacityBytes = expansion.Expand(Find(request.VolumeId), request.VolumePath, required, limit) },
            call.Cancellation);
    }

    private static void CheckVolumePath(string id, string path)
    {
        if (path.Length == 0) throw Invalid("volume_path is missing");
        if (path.Contains('\0', StringComparison.Ordinal)) throw new GrpcException(GrpcStatusCode.NotFound, $"volume {id} is at no volume_path with a zero byte");
    }

    /// <summary>What was asked for, without what may be secret in it being readable.</summary>
    private static string DigestOf(VolumeCapability capability) => VolumeId.Digest(capability.ToByteArray());

    private static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);

    private VolumeRecord Find(string id) => store.Find(id) is { Phase: VolumePhase.Ready } record ? record : throw store.NotThere(id);
}
