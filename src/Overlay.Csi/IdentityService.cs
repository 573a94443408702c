using Google.Protobuf.Reflection;
using Overlay.Csi.Protos;
using Overlay.Csi.Tools;
using Overlay.Rpc.Grpc;
using ExpansionType = Overlay.Csi.Protos.PluginCapability.Types.VolumeExpansion.Types.Type;
using ServiceType = Overlay.Csi.Protos.PluginCapability.Types.Service.Types.Type;

namespace Overlay.Csi;

/// <summary>What the driver is and whether it is ready.</summary>
internal sealed class IdentityService(CsiOptions options)
{
    private volatile bool _ready;

    public static string Version { get; } = typeof(IdentityService).Assembly.GetName().Version!.ToString(3);

    /// <summary>Set once everything that an earlier process left is accounted for.</summary>
    public bool Ready
    {
        set => _ready = value;
    }

    public void AddTo(GrpcRoutes routes)
    {
        var service = CsiReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Identity");
        routes
            .Unary(
                new GrpcMethod<GetPluginInfoRequest, GetPluginInfoResponse>(service, "GetPluginInfo"),
                (_, _) => Task.FromResult(new GetPluginInfoResponse { Name = options.Name, VendorVersion = Version }))
            .Unary(
                new GrpcMethod<GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse>(service, "GetPluginCapabilities"),
                (_, _) => Task.FromResult(new GetPluginCapabilitiesResponse
                {
                    Capabilities =
                    {
                        new PluginCapability { Service = new PluginCapability.Types.Service { Type = ServiceType.ControllerService } },
                        new PluginCapability { Service = new PluginCapability.Types.Service { Type = ServiceType.VolumeAccessibilityConstraints } },
                        new PluginCapability { VolumeExpansion = new PluginCapability.Types.VolumeExpansion { Type = ExpansionType.Online } },
                    },
                }))
            .Unary(
                new GrpcMethod<ProbeRequest, ProbeResponse>(service, "Probe"),
                (_, _) => Task.FromResult(new ProbeResponse { Ready = IsReady() }));
    }

    /// <exception cref="GrpcException">FAILED_PRECONDITION: a program that the volumes need is missing.</exception>
    public bool IsReady()
    {
        IReadOnlyList<string> missing = ToolRunner.Missing();
        return missing.Count == 0 ? _ready : throw new GrpcException(
            GrpcStatusCode.FailedPrecondition,
            $"missing on PATH: {string.Join(", ", missing)}; install util-linux, e2fsprogs, xfsprogs and btrfs-progs");
    }
}
