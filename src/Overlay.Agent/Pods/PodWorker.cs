using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Control;
using Overlay.Agent.Pods.Cni;
using Overlay.Control.Ipam;
using Overlay.Linux;

namespace Overlay.Agent.Pods;

/// <summary>The thread that pods are wired on: one call after the other, with looks at what there is in between.</summary>
internal sealed class PodWorker : IAsyncDisposable
{
    private static readonly TimeSpan VerifyInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ReconcileInterval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan StopDeadline = TimeSpan.FromSeconds(10);

    private readonly BlockingCollection<Action<PodNetwork>> _work = [];
    private readonly TaskCompletionSource<PodNetwork> _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly PodSettings _first;
    private readonly ControlAgent? _control;
    private readonly ILogger _log;
    private readonly Action<Exception> _died;
    private readonly Thread _thread;
    private readonly CniServer _server;
    private readonly ConflistFile? _conflist;
    private readonly Lock _announcing = new();
    private volatile PodSettings _latest;
    private volatile bool _isReady;
    private bool _isAnnounced;
    private string? _notAnnounced;

    private PodWorker(PodSettings settings, ControlAgent? control, Action<Exception> died, ILogger log)
    {
        _first = _latest = settings;
        _control = control;
        _died = died;
        _log = log;
        _thread = new Thread(Run) { Name = "pods", IsBackground = true };
        _conflist = settings.Options.Conflist is { } conflist ? new ConflistFile(conflist, settings.Options) : null;
        _server = CniServer.Start(settings.Options.Socket, AnswerAsync, log);
    }

    /// <summary>Answers calls at once, though those that take the overlay only once <see cref="StartAsync"/> is through.</summary>
    /// <param name="settings">What to begin with.</param>
    /// <param name="control">Where controllers lease the addresses; null: the configuration lists them.</param>
    /// <param name="died">Called by the thread when it ends on an error.</param>
    /// <param name="log">For what others changed and the kernel refuses.</param>
    /// <exception cref="StartRefusedException">The socket cannot be used.</exception>
    public static PodWorker Listen(PodSettings settings, ControlAgent? control, Action<Exception> died, ILogger log) => new(settings, control, died, log);

    /// <summary>The attachments at this moment; empty while the daemon starts.</summary>
    public ICollection<Attachment> Attachments => _started.Task.IsCompletedSuccessfully ? _started.Task.Result.Attachments : [];

    /// <summary>The blocks that addresses are taken from, with how many are held; empty while the daemon starts.</summary>
    public IReadOnlyList<NodeAllocator.BlockUse> Blocks => _started.Task.IsCompletedSuccessfully ? _started.Task.Result.Blocks : [];

    /// <summary>Whether pods can be added.</summary>
    public bool IsReady => _isReady;

    /// <summary>Is told of each call that was answered: command, how it ended (0, or the CNI error code), and how long it took. Set before pods are added.</summary>
    public Action<string, int, TimeSpan>? Answered { get; set; }

    /// <summary>Sets up what pods have in common; then pods can be added, and last the runtime is told.</summary>
    public async Task StartAsync()
    {
        _thread.Start();
        await _started.Task.ConfigureAwait(false);
        _isReady = true;
        Announce();
    }

    /// <summary>Has the thread take over other settings.</summary>
    public void Apply(PodSettings settings)
    {
        _latest = settings;
        Announce();
        _work.Add(network => network.Apply(settings));
    }

    /// <summary>Runs something on the thread.</summary>
    public Task<T> RunAsync<T>(Func<PodNetwork, T> function)
    {
        var completion = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            _work.Add(network => Complete(completion, network, function));
        }
        catch (InvalidOperationException)
        {
            completion.SetCanceled();
        }
        return completion.Task;
    }

    /// <summary>Takes no more calls, ends those that wait, and leaves the pods as they are.</summary>
    public async ValueTask DisposeAsync()
    {
        _isReady = false;
        _work.CompleteAdding();
        if (_thread.IsAlive && !_thread.Join(StopDeadline)) throw new TimeoutException($"the thread {_thread.Name} did not end within {StopDeadline}");
        await _server.DisposeAsync().ConfigureAwait(false);
        _work.Dispose();
    }

    private async Task<CniAnswer?> AnswerAsync(CniMessage message)
    {
        string version = CniVersions.V110;
        string command = "unknown";
        long start = Stopwatch.GetTimestamp();
        try
        {
            version = CniConfiguration.VersionOf(message.Input);
            CniCall call = CniCall.Read(message);
            command = call.Command.ToString().ToUpperInvariant();
            if (!_isReady) return call.Command == CniCommand.Del ? null : throw Starting(call);
            JsonObject? result = await RunAsync(network => network.Answer(call)).ConfigureAwait(false);
            Answered?.Invoke(command, 0, Stopwatch.GetElapsedTime(start));
            DateTimeOffset answered = DateTimeOffset.UtcNow;
            return new CniAnswer(0, result is null ? [] : Encode(result))
            {
                Undelivered = call.Command == CniCommand.Add ? () => _ = RunAsync(network => Abandon(network, call, answered)) : null,
            };
        }
        catch (OperationCanceledException)
        {
            // The daemon ends before the call's turn.
            return null;
        }
        catch (CniException exception)
        {
            Answered?.Invoke(command, (int)exception.Code, Stopwatch.GetElapsedTime(start));
            if (exception.Code != CniErrorCode.NotAvailable) _log.LogWarning("a CNI call failed with {Code}: {Problem}", (int)exception.Code, exception.Message);
            return new CniAnswer(1, Encode(exception.ToJson(version)));
        }
    }

    private static bool Abandon(PodNetwork network, CniCall call, DateTimeOffset answered)
    {
        network.Abandon(call, answered);
        return true;
    }

    private static CniException Starting(CniCall call) => call.Command == CniCommand.Status
        ? new CniException(CniErrorCode.NotAvailable, "overlayd is starting or stopping")
        : new CniException(CniErrorCode.TryAgainLater, call.ContainerId.Length > 0 ? $"{call.Pod}: overlayd is starting or stopping" : "overlayd is starting or stopping", "the call can be repeated");

    private static byte[] Encode(JsonObject answer) => System.Text.Encoding.UTF8.GetBytes(answer.ToJsonString() + "\n");

    private static void Complete<T>(TaskCompletionSource<T> completion, PodNetwork network, Func<PodNetwork, T> function)
    {
        try
        {
            completion.SetResult(function(network));
        }
        catch (Exception exception)
        {
            // The caller gets it whatever it is; what no call expects ends the daemon besides.
            completion.SetException(exception is CniException ? exception : new CniException(CniErrorCode.IoFailure, exception.Message, "", exception));
            if (exception is not (CniException or LinuxException or IOException or UnauthorizedAccessException)) throw;
        }
    }

    /// <summary>Has the runtime's configuration be there, or not, as the latest settings want it; by the thread of pods again and again.</summary>
    private void Announce()
    {
        if (_conflist is null || !_isReady) return;
        lock (_announcing)
        {
            bool wasAnnounced = _isAnnounced;
            try
            {
                _isAnnounced = !_latest.Options.Drain;
                if (!_isAnnounced) _conflist.Remove();
                else if (_conflist.Install() && wasAnnounced && _notAnnounced is null) _log.LogWarning("the runtime's configuration {File} was changed or removed by somebody; it is put back", _conflist.Path);
                _notAnnounced = null;
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                if (_notAnnounced != exception.Message) _log.LogError("the runtime's configuration {File} cannot be changed: {Problem}", _conflist.Path, exception.Message);
                _notAnnounced = exception.Message;
            }
        }
    }

    private void Run()
    {
        try
        {
            using var network = new PodNetwork(_first, _control, _log);
            _started.SetResult(network);
            Serve(network);
            network.RemoveUnused();
        }
        catch (Exception exception)
        {
            // Whatever it is: a thread that may be in a pod's namespace must not serve another call.
            if (!_started.TrySetException(exception)) _died(exception);
        }
    }

    private void Serve(PodNetwork network)
    {
        long verified = Stopwatch.GetTimestamp();
        long reconciled = verified;
        while (!_work.IsCompleted)
        {
            TimeSpan left = VerifyInterval - Stopwatch.GetElapsedTime(verified);
            if (left > TimeSpan.Zero && _work.TryTake(out Action<PodNetwork>? work, left)) work(network);
            if (Stopwatch.GetElapsedTime(verified) < VerifyInterval) continue;
            verified = Stopwatch.GetTimestamp();
            bool isDue = Stopwatch.GetElapsedTime(reconciled) >= ReconcileInterval;
            if (isDue) reconciled = verified;
            Look(network, isDue);
        }
    }

    private void Look(PodNetwork network, bool all)
    {
        try
        {
            network.Verify();
            if (!all) return;
            Announce();
            network.Reconcile();
        }
        catch (Exception exception) when (exception is LinuxException or IOException or UnauthorizedAccessException)
        {
            _log.LogError("what pods have cannot be looked at: {Problem}", exception.Message);
        }
    }
}
