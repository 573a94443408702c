using System.Runtime.InteropServices;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using Overlay.Control.Ipam;
using Overlay.Control.State;
using Overlay.Control.Stores;
using Overlay.Control.Stores.Etcd;
using Overlay.Control.Stores.Sqlite;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Hosting;
using Overlay.Rpc.Security;
using Overlay.Rpc.Telemetry;

namespace Overlay.Controller;

/// <summary>The life of the controller: until SIGTERM or SIGINT. A store that cannot be reached is waited for.</summary>
internal sealed class ControllerProcess(ControllerOptions options, ILoggerFactory logs)
{
    private const int KeptRevisions = 20_000;

    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan CompactInterval = TimeSpan.FromMinutes(1);

    private readonly ILogger _log = logs.CreateLogger("overlay-controller");

    private readonly StreamLimits _streams = new(options.Limits.StreamsPerClient);

    private readonly StoreTroubles _troubles = new(logs.CreateLogger("overlay-controller"));

    /// <returns>True after a signal; false where it could not run.</returns>
    public async Task<bool> RunAsync()
    {
        using var end = new CancellationTokenSource();
        using PosixSignalRegistration terminate = On(PosixSignal.SIGTERM, end);
        using PosixSignalRegistration interrupt = On(PosixSignal.SIGINT, end);
        var notification = new ServiceNotification(_log);
        try
        {
            TlsFiles? tls = options.Tls is { } paths ? new TlsFiles(paths.Certificate, paths.Key, paths.Authority) : null;
            if (tls is not null) CheckOwn(tls);
            var monitoring = new Monitoring("overlay-controller");
            await using HttpEndpoint? endpoint = await monitoring.ListenAsync(options.Metrics, logs).ConfigureAwait(false);
            await using IControlStore store = OpenStore(options.Store);
            var cache = new StateCache();
            var health = new ControllerHealth(cache, tls, _troubles);
            var whole = new TaskCompletionSource();
            Task[] work =
            [
                RepeatAsync(StoreTroubles.Follow, TimeSpan.Zero, () => cache.FollowAsync(store, Known, end.Token), end.Token),
                LookAsync(new NodeMonitor(store, cache, options.Nodes, _troubles, _log), whole.Task, end.Token),
                CompactAsync(store, cache, end.Token),
            ];
            // None of it goes on without the others: what it fails by is a bug, which ends the controller loudly.
            foreach (Task each in work) _ = each.ContinueWith(_ => end.Cancel(), CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
            using var metrics = new ControllerMetrics(cache, health, _streams);
            using var exporter = new PrometheusExporter(ControllerMetrics.IsExported);
            using IDisposable told = monitoring.Serve(exporter, health.Report);
            if (await Task.WhenAny(whole.Task, Task.Delay(Timeout.Infinite, end.Token)).ConfigureAwait(false) == whole.Task
                && await MarkAsync(store, cache, end.Token).ConfigureAwait(false))
                await ServeAsync(store, cache, tls, health, metrics, notification, end.Token).ConfigureAwait(false);
            notification.Stopping();
            await Task.WhenAll(work).ConfigureAwait(false);
            return true;

            void Known()
            {
                _troubles.Remove(StoreTroubles.Follow);
                whole.TrySetResult();
            }
        }
        catch (Exception exception) when (exception is StoreException or TlsFileException or SocketFileException or ListenException or IOException or UnauthorizedAccessException)
        {
            _log.LogCritical("cannot run: {Problem}", exception.Message);
            await end.CancelAsync().ConfigureAwait(false);
            return false;
        }
    }

    /// <summary>Has nodes find out when a backup was restored, before any of them is served.</summary>
    /// <returns>False: the controller ends.</returns>
    private async Task<bool> MarkAsync(IControlStore store, StateCache cache, CancellationToken end)
    {
        try
        {
            await cache.WaitAsync(await HistoryMarks.SetAsync(store, end).ConfigureAwait(false), end).ConfigureAwait(false);
        }
        catch (StoreException exception)
        {
            _log.LogWarning("the start cannot be marked in the store's history; where a backup was restored, start the controller again later: {Problem}", exception.Message);
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested)
        {
            return false;
        }
        return true;
    }

    private async Task ServeAsync(IControlStore store, StateCache cache, TlsFiles? tls, ControllerHealth health, ControllerMetrics metrics, ServiceNotification notification, CancellationToken end)
    {
        var leases = new BlockLeases(store, cache: cache);
        Directory.CreateDirectory(Path.GetDirectoryName(options.Socket)!);
        await using GrpcServer local = await GrpcServer.ListenAsync(options.Socket, Routes(store, cache, leases, null, metrics), logs).ConfigureAwait(false);
        await using GrpcServer? remote = tls is null
            ? null
            : await GrpcServer.ListenAsync(options.Listen!, tls.ForServer, Routes(store, cache, leases, tls, metrics), logs).ConfigureAwait(false);
        _log.LogInformation(
            "ready: {Store} at revision {Revision}, {Networks} networks and {Nodes} nodes; listens on {Listen} and {Socket}",
            store.Name, cache.Revision, cache.Networks.Count, cache.Nodes.Count, remote?.EndPoint?.ToString() ?? "no TCP address", options.Socket);
        health.Serves(true);
        notification.Ready();
        await Task.Delay(Timeout.Infinite, end).ContinueWith(_ => { }, TaskScheduler.Default).ConfigureAwait(false);
        health.Serves(false);
        _log.LogInformation("stopping");
        await local.StopAsync(StopPatience).ConfigureAwait(false);
        if (remote is not null) await remote.StopAsync(StopPatience).ConfigureAwait(false);
    }

    private GrpcRoutes Routes(IControlStore store, StateCache cache, BlockLeases leases, TlsFiles? tls, ControllerMetrics metrics)
    {
        var routes = new GrpcRoutes(new GrpcLimits(options.Limits.RequestBytes)) { Completed = metrics.Count };
        var callers = new Callers(tls, _log);
        var calls = new StoreCalls(_troubles);
        new NodeService(store, cache, leases, new BlockLending(store, cache), callers, calls, _streams, options.Nodes, _log).AddTo(routes);
        new AdministrationService(store, cache, callers, calls, _log).AddTo(routes);
        return routes;
    }

    private void CheckOwn(TlsFiles tls)
    {
        X509Certificate2 own = tls.Current.Certificate;
        if (CertificateCheck.Refusal(own, tls.Current.Authorities, DateTimeOffset.UtcNow) is { } refusal) throw new TlsFileException($"{options.Tls!.Certificate}: {refusal}");
        if (CertificateIdentity.Read(own) is not { Role: CertificateRole.Controller })
            throw new TlsFileException($"{options.Tls!.Certificate} is the certificate of '{own.Subject}' and of no controller; make one with 'overlay pki controller'");
    }

    private static IControlStore OpenStore(StoreOptions store)
    {
        if (!store.IsEtcd)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(store.File)!);
            return new SqliteStore(store.File);
        }
        TlsMaterial? tls = store.Tls is { } paths ? new TlsFiles(paths.Certificate, paths.Key, paths.Authority).Current : null;
        return new EtcdStore(new EtcdOptions { Endpoints = store.Endpoints, Prefix = store.Prefix, Certificate = tls?.Certificate, Authorities = tls?.Authorities });
    }

    private async Task LookAsync(NodeMonitor monitor, Task whole, CancellationToken end)
    {
        await Task.WhenAny(whole, Task.Delay(Timeout.Infinite, end)).ConfigureAwait(false);
        await RepeatAsync(StoreTroubles.Look, options.Nodes.Lease / 5, () => monitor.LookAsync(end), end).ConfigureAwait(false);
    }

    /// <summary>Keeps the history of SQLite's file short; etcd's is its administrator's, for others may share it.</summary>
    private async Task CompactAsync(IControlStore store, StateCache cache, CancellationToken end)
    {
        if (options.Store.IsEtcd) return;
        await RepeatAsync(
            StoreTroubles.Compact, CompactInterval, () => store.CompactAsync(Math.Max(cache.Revision - KeptRevisions, 0), end), end)
            .ConfigureAwait(false);
    }

    /// <summary>Repeats some work until the end. That the store fails is logged once until it works again, or fails otherwise.</summary>
    private async Task RepeatAsync(string trouble, TimeSpan interval, Func<Task> work, CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            TimeSpan pause = interval;
            try
            {
                await work().ConfigureAwait(false);
                _troubles.Remove(trouble);
            }
            catch (StoreException exception)
            {
                _troubles.Add(trouble, exception.Message);
                pause = RetryInterval > interval ? RetryInterval : interval;
            }
            catch (OperationCanceledException) when (end.IsCancellationRequested)
            {
                return;
            }
            await Task.WhenAny(Task.Delay(pause, end)).ConfigureAwait(false);
        }
    }

    private static PosixSignalRegistration On(PosixSignal signal, CancellationTokenSource end) => PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        end.Cancel();
    });
}
