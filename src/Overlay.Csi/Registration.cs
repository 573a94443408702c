using Microsoft.Extensions.Logging;
using Overlay.Csi.Protos.Registration;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi;

/// <summary>Makes the driver known to the kubelet, which watches a folder for sockets of plugins (plugin registration v1).</summary>
/// <param name="refused">Called when the kubelet would not have the driver.</param>
internal sealed class Registration(CsiOptions options, ILogger log, Action refused)
{
    public static string SocketPath(string folder, string driver) => Path.Combine(folder, $"{driver}-reg.sock");

    public GrpcRoutes Routes()
    {
        var service = PluginregistrationReflection.Descriptor.FindTypeByName<Google.Protobuf.Reflection.ServiceDescriptor>("Registration");
        return new GrpcRoutes()
            .Unary(new GrpcMethod<InfoRequest, PluginInfo>(service, "GetInfo"), (_, _) => Task.FromResult(Info()))
            .Unary(new GrpcMethod<RegistrationStatus, RegistrationStatusResponse>(service, "NotifyRegistrationStatus"), (status, _) =>
            {
                if (status.PluginRegistered)
                {
                    log.LogInformation("the kubelet registered {Driver}", options.Name);
                }
                else
                {
                    log.LogCritical("the kubelet refused {Driver}: {Problem}", options.Name, status.Error);
                    refused();
                }
                return Task.FromResult(new RegistrationStatusResponse());
            });
    }

    private PluginInfo Info() => new()
    {
        Type = "CSIPlugin",
        Name = options.Name,
        Endpoint = options.Socket,
        SupportedVersions = { "1.0.0" },
    };
}
