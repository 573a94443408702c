using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Overlay.Csi.Api;
using Overlay.Csi.Controller;
using Overlay.Csi.Formatting;
using Overlay.Csi.Node;
using Overlay.Csi.Pools;
using Overlay.Csi.Snapshots;
using Overlay.Csi.State;
using Overlay.Csi.Static;
using Overlay.Csi.Tools;
using Overlay.Linux;
using Overlay.Linux.Mounts;
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
            return await ServeAsync(store, end).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is StartRefusedException or SocketFileException or SocketException or LinuxException or IOException or UnauthorizedAccessException)
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

    private async Task<bool> ServeAsync(VolumeStore store, TaskCompletionSource<bool> end)
    {
        var steps = new Steps(_log);
        var tools = new ToolRunner(options.ToolTimeout);
        var gate = new VolumeGate();
        var pools = new PoolSet([.. options.Pools.Select(pool => new DirectoryPool(pool))], MountTable.Canonical(options.StateFolder));
        PoolMount[] mounts = [.. options.Pools.Select(pool => new PoolMount(pool, tools, steps))];
        var identity = new IdentityService(options);
        var stats = new VolumeStats(store, pools);
        var topology = new NodeTopology(options);
        var listing = new VolumeListing(topology, store, pools);
        var ledger = new SpaceLedger(store);
        var copying = new ImageCopying(pools, options.FreezeLimit, steps);
        var making = new VolumeMaking(topology, store, pools, ledger, new VolumeSources(store, pools, gate, copying), new FileSystems(tools), listing, steps);
        var snapshots = new SnapshotMaking(store, pools, ledger, gate, copying, steps);
        using var metrics = new CsiMetrics(store, pools);
        var routes = new GrpcRoutes { Completed = metrics.Completed };
        identity.AddTo(routes);
        new ControllerService(pools, gate, making, listing, snapshots).AddTo(routes);
        CreateNode(store, gate, pools, tools, stats, steps).AddTo(routes);
        Directory.CreateDirectory(Path.GetDirectoryName(options.Socket)!);
        // One that was left by a driver that was killed tells the kubelet of a driver that is not ready.
        if (options.RegistrationFolder is { } plugins) UnixSocketFile.RemoveStale(Registration.SocketPath(plugins, options.Name));
        await using GrpcServer server = await GrpcServer.ListenAsync(options.Socket, routes, logs).ConfigureAwait(false);
        await using var http = new LocalHttpServer(identity, new VolumesReporter(options, store, pools, stats), metrics);
        await http.StartAsync(options, logs).ConfigureAwait(false);
        foreach (PoolMount mount in mounts) mount.Open();
        var reconciler = new Reconciler(store, pools, steps);
        reconciler.Thaw();
        string[] left = [.. store.Damaged, .. snapshots.Reconcile(), .. making.Reconcile(), .. reconciler.Run()];
        foreach (string unknown in left) _log.LogWarning("{Unknown}; it is kept", unknown);
        gate.Open();
        identity.Ready = true;
        await using GrpcServer? registration = await RegisterAsync(end).ConfigureAwait(false);
        _log.LogInformation("ready: {Driver} {Version} on {Socket} for node {Node}", options.Name, IdentityService.Version, options.Socket, options.NodeId);
        bool stopped = await end.Task.ConfigureAwait(false);
        await server.StopAsync(StopPatience).ConfigureAwait(false);
        foreach (PoolMount mount in mounts) mount.Close();
        return stopped;
    }

    private NodeService CreateNode(VolumeStore store, VolumeGate gate, PoolSet pools, ToolRunner tools, VolumeStats stats, Steps steps)
    {
        var fileSystems = new FileSystems(tools);
        var owners = new MountOwners(store, pools);
        var images = new ImageStaging(store, pools, owners, new Formatter(store, fileSystems, tools, steps), fileSystems, steps);
        return new NodeService(
            options,
            store,
            gate,
            images,
            new StaticStaging(store, owners, steps),
            new Publishing(store, pools, owners, images.OpenImage, steps),
            stats,
            new Expansion(pools, fileSystems, steps));
    }

    /// <summary>Last of all: the kubelet calls as soon as it sees the socket.</summary>
    private async Task<GrpcServer?> RegisterAsync(TaskCompletionSource<bool> end)
    {
        if (options.RegistrationFolder is not { } folder) return null;
        Directory.CreateDirectory(folder);
        var registration = new Registration(options, _log, () => end.TrySetResult(false));
        return await GrpcServer.ListenAsync(Registration.SocketPath(folder, options.Name), registration.Routes(), logs).ConfigureAwait(false);
    }
}
