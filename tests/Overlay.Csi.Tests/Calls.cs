using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi.Tests;

/// <summary>The calls of CSI as the tests make them.</summary>
internal static class Calls
{
    public const long MiB = 1 << 20;

    public static VolumeCapability Mount(string type, Mode mode = Mode.SingleNodeWriter, params string[] flags) => new()
    {
        Mount = new VolumeCapability.Types.MountVolume { FsType = type, MountFlags = { flags } },
        AccessMode = new VolumeCapability.Types.AccessMode { Mode = mode },
    };

    public static VolumeCapability Block(Mode mode = Mode.SingleNodeWriter) => new()
    {
        Block = new VolumeCapability.Types.BlockVolume(),
        AccessMode = new VolumeCapability.Types.AccessMode { Mode = mode },
    };

    public static VolumeCapability Of(string kind, Mode mode = Mode.SingleNodeWriter) => kind == "block" ? Block(mode) : Mount(kind, mode);

    public static CreateVolumeRequest Request(string name, VolumeCapability capability, long mebibytes, string pool = "images") => new()
    {
        Name = name,
        CapacityRange = new CapacityRange { RequiredBytes = mebibytes * MiB },
        VolumeCapabilities = { capability },
        Parameters = { ["pool"] = pool },
    };

    public static CreateVolumeRequest From(this CreateVolumeRequest request, string? snapshot = null, string? volume = null)
    {
        request.VolumeContentSource = snapshot is not null
            ? new VolumeContentSource { Snapshot = new VolumeContentSource.Types.SnapshotSource { SnapshotId = snapshot } }
            : new VolumeContentSource { Volume = new VolumeContentSource.Types.VolumeSource { VolumeId = volume! } };
        return request;
    }

    public static Task<NodeStageVolumeResponse> StageAsync(
        this DriverProcess driver, string volume, VolumeCapability capability, string? path = null, IDictionary<string, string>? context = null) =>
        driver.CallAsync<NodeStageVolumeRequest, NodeStageVolumeResponse>(
            "Node",
            "NodeStageVolume",
            new NodeStageVolumeRequest
            {
                VolumeId = volume,
                StagingTargetPath = path ?? driver.Staging(volume),
                VolumeCapability = capability,
                VolumeContext = { context ?? new Dictionary<string, string>() },
            });

    public static Task<NodeUnstageVolumeResponse> UnstageAsync(this DriverProcess driver, string volume, string? path = null) =>
        driver.CallAsync<NodeUnstageVolumeRequest, NodeUnstageVolumeResponse>(
            "Node", "NodeUnstageVolume", new NodeUnstageVolumeRequest { VolumeId = volume, StagingTargetPath = path ?? driver.Staging(volume) });

    public static Task<NodePublishVolumeResponse> PublishAsync(
        this DriverProcess driver, string volume, string target, VolumeCapability capability, bool isReadOnly = false, string? staging = null, IDictionary<string, string>? context = null) =>
        driver.CallAsync<NodePublishVolumeRequest, NodePublishVolumeResponse>(
            "Node",
            "NodePublishVolume",
            new NodePublishVolumeRequest
            {
                VolumeId = volume,
                StagingTargetPath = staging ?? driver.Staging(volume),
                TargetPath = target,
                VolumeCapability = capability,
                Readonly = isReadOnly,
                VolumeContext = { context ?? new Dictionary<string, string>() },
            });

    public static Task<NodeUnpublishVolumeResponse> UnpublishAsync(this DriverProcess driver, string volume, string target) =>
        driver.CallAsync<NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse>(
            "Node", "NodeUnpublishVolume", new NodeUnpublishVolumeRequest { VolumeId = volume, TargetPath = target });

    public static Task<NodeGetVolumeStatsResponse> StatsAsync(this DriverProcess driver, string volume, string path) =>
        driver.CallAsync<NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse>(
            "Node", "NodeGetVolumeStats", new NodeGetVolumeStatsRequest { VolumeId = volume, VolumePath = path });

    public static Task<NodeExpandVolumeResponse> ExpandNodeAsync(this DriverProcess driver, string volume, string path, long bytes) =>
        driver.CallAsync<NodeExpandVolumeRequest, NodeExpandVolumeResponse>(
            "Node", "NodeExpandVolume", new NodeExpandVolumeRequest { VolumeId = volume, VolumePath = path, CapacityRange = new CapacityRange { RequiredBytes = bytes } });

    public static Task<ControllerExpandVolumeResponse> ExpandAsync(this DriverProcess driver, string volume, long bytes, long limit = 0) =>
        driver.CallAsync<ControllerExpandVolumeRequest, ControllerExpandVolumeResponse>(
            "Controller",
            "ControllerExpandVolume",
            new ControllerExpandVolumeRequest { VolumeId = volume, CapacityRange = new CapacityRange { RequiredBytes = bytes, LimitBytes = limit } });

    public static async Task<Snapshot> SnapshotAsync(this DriverProcess driver, string name, string volume) =>
        (await driver.CallAsync<CreateSnapshotRequest, CreateSnapshotResponse>(
            "Controller", "CreateSnapshot", new CreateSnapshotRequest { Name = name, SourceVolumeId = volume })).Snapshot;

    public static Task<DeleteSnapshotResponse> DeleteSnapshotAsync(this DriverProcess driver, string snapshot) =>
        driver.CallAsync<DeleteSnapshotRequest, DeleteSnapshotResponse>("Controller", "DeleteSnapshot", new DeleteSnapshotRequest { SnapshotId = snapshot });

    public static Task<ListSnapshotsResponse> ListSnapshotsAsync(this DriverProcess driver, ListSnapshotsRequest request) =>
        driver.CallAsync<ListSnapshotsRequest, ListSnapshotsResponse>("Controller", "ListSnapshots", request);

    public static async Task<string> CreateIdAsync(this DriverProcess driver, CreateVolumeRequest request) => (await driver.CreateAsync(request)).Volume.VolumeId;

    /// <summary>Stages a volume and publishes it at a target.</summary>
    public static async Task<string> UseAsync(this DriverProcess driver, string volume, VolumeCapability capability, string pod = "pod", bool isReadOnly = false)
    {
        await driver.StageAsync(volume, capability);
        await driver.PublishAsync(volume, driver.Target(volume, pod), capability, isReadOnly);
        return driver.Target(volume, pod);
    }

    public static async Task ReleaseAsync(this DriverProcess driver, string volume, string pod = "pod")
    {
        await driver.UnpublishAsync(volume, driver.Target(volume, pod));
        await driver.UnstageAsync(volume);
    }

    public static string Staging(this DriverProcess driver, string volume) => $"{driver.Folder}/staging/{volume}/globalmount";

    public static string Target(this DriverProcess driver, string volume, string pod) => $"{driver.Folder}/{pod}/volumes/{volume}/mount";

    public static async Task<GrpcException> RefusedAsync(GrpcStatusCode status, Task call)
    {
        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => call);
        Assert.Equal((status, refused.Message), (refused.Status, refused.Message));
        return refused;
    }
}
