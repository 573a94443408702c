using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Hosting;

namespace Overlay.Csi;

/// <summary>The life of the driver: until SIGTERM, SIGINT, or the kubelet's refusal.</summary>
internal sealed class Driver(CsiOptions options, ILoggerFactory logs)
{
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(20);

    private readonly ILogger _log = logs.CreateLogger("overlay-csi");

    /// <returns>True after a signal; false where it could not run or go on.</returns>
    public async Task<bool> RunAsync()
    {
        var end = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        using PosixSignalRegistration terminate = On(PosixSignal.SIGTERM, end);
        using PosixSignalRegistration interrupt = On(PosixSignal.SIGINT, end);
        try
        {
            using VolumeStore store = VolumeStore.Open(options.StateFolder);
            var identity = new IdentityService(options);
            var controller = new ControllerService(options, store);
            var routes = new GrpcRoutes();
            identity.AddTo(routes);
            new NodeService(options).AddTo(routes);
            controller.AddTo(routes);
            foreach (string unknown in controller.Reconcile()) _log.LogWarning("{Unknown}; it is kept", unknown);
            Directory.CreateDirectory(Path.GetDirectoryName(options.Socket)!);
            await using GrpcServer server = await GrpcServer.ListenAsync(options.Socket, routes, logs).ConfigureAwait(false);
            await using GrpcServer? registration = await RegisterAsync(end).ConfigureAwait(false);
            identity.Ready = true;
            _log.LogInformation("ready: {Driver} {Version} on {Socket} for node {Node}", options.Name, IdentityService.Version, options.Socket, options.NodeId);
            bool stopped = await end.Task.ConfigureAwait(false);
            await server.StopAsync(StopPatience).ConfigureAwait(false);
            return stopped;
        }
        catch (Exception exception) when (exception is StartRefusedException or SocketFileException or LinuxException or IOException or UnauthorizedAccessException)
        {
            _log.LogCritical("cannot run: {Problem}", exception.Message);
            return false;
        }
    }

    private static PosixSignalRegistration On(PosixSignal signal, TaskCompletionSource<bool> end) =>
        PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = true;
            end.TrySetResult(true);
        });

    /// <summary>Last of all: the kubelet calls as soon as it sees the socket.</summary>
    private async Task<GrpcServer?> RegisterAsync(TaskCompletionSource<bool> end)
    {
        if (options.RegistrationFolder is not { } folder) return null;
        var registration = new Registration(options, _log, () => end.TrySetResult(false));
        return await GrpcServer.ListenAsync(Registration.SocketPath(folder, options.Name), registration.Routes(), logs).ConfigureAwait(false);
    }
}
