using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Configuration;
using Overlay.Control;
using Overlay.Control.Ipam;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Security;

namespace Overlay.Agent.Control;

/// <summary>
/// The node's side of the conversation with the controllers: registers, renews, watches and keeps blocks, with one controller at a time, and
/// with the next when that fails. Nothing that is forwarded waits for it.
/// </summary>
/// <param name="changed">Called when the state is another.</param>
internal sealed class ControlSession(
    string node, ControlOptions options, RegistrationFile registration, ControlState state, NodeAllocator allocator, Action changed, ILogger log)
{
    private static readonly BackOff BetweenControllers = new(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(2));

    private static readonly TimeSpan BlockInterval = TimeSpan.FromMilliseconds(500);

    private readonly TlsFiles _tls = new(options.Certificate, options.Key, options.Authority);
    private readonly BlockKeeper _keeper = new(node, options.Networks?.Select(network => network.Value).ToHashSet(), allocator, state, log);
    private readonly string _boot = new BootClock(TimeProvider.System).Boot;
    private readonly Lock _gate = new();
    private TaskCompletionSource _look = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile IReadOnlyList<IPAddress> _underlay = [];
    private CancellationTokenSource? _again;
    private volatile string? _connected;
    private volatile string? _problem;
    private volatile string? _diskProblem;
    private volatile bool _isInDoubt;

    private long _heard = Stopwatch.GetTimestamp();
    private long _revised = Stopwatch.GetTimestamp();

    /// <summary>Since a controller last answered or told something; at first since the start.</summary>
    public TimeSpan Silence => Stopwatch.GetElapsedTime(Volatile.Read(ref _heard));

    /// <summary>Since the state that is known last changed; at first since the start.</summary>
    public TimeSpan RevisionAge => Stopwatch.GetElapsedTime(Volatile.Read(ref _revised));

    /// <summary>The controller in use; null: none answers.</summary>
    public string? Connected => _connected;

    /// <summary>What keeps the node from its controllers, or from more blocks.</summary>
    public IReadOnlyList<string> Problems => [.. new[] { _problem, _diskProblem, allocator.Doubt }.OfType<string>(), .. state.Strange, .. _keeper.Refusals];

    /// <summary>Looks at the blocks soon. Called by any thread.</summary>
    private void LookAtBlocks() => Volatile.Read(ref _look).TrySetResult();

    /// <summary>What the node registers; another list makes it register anew at once.</summary>
    public void Use(IReadOnlyList<IPAddress> underlay)
    {
        lock (_gate)
        {
            _underlay = underlay;
            _again?.Cancel();
        }
    }

    /// <summary>Runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken end)
    {
        allocator.BlockWanted += LookAtBlocks;
        int next = FirstOf(node, options.Controllers.Count);
        int failures = 0;
        while (!end.IsCancellationRequested)
        {
            DnsEndPoint controller = options.Controllers[next % options.Controllers.Count].Value;
            using var again = CancellationTokenSource.CreateLinkedTokenSource(end);
            lock (_gate) _again = again;
            try
            {
                await TalkAsync(controller, () => failures = 0, again.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (again.IsCancellationRequested)
            {
                // The end, or other addresses of this node.
                continue;
            }
            catch (Exception exception) when (exception is GrpcException or TlsFileException or IOException)
            {
                Fail($"controller {controller.Host}:{controller.Port}: {exception.Message}");
                TellDoubt();
                // It needs no pause, nor another controller, to register again.
                if (exception is GrpcException { Status: GrpcStatusCode.FailedPrecondition } && failures++ == 0) continue;
                next++;
            }
            finally
            {
                lock (_gate) _again = null;
                _connected = null;
                state.DropParts();
            }
            // The end is seen by the loop; it is no failure.
            await BetweenControllers.WaitAsync(failures++, end).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        allocator.BlockWanted -= LookAtBlocks;
    }

    /// <summary>The controller that a node tries first; after it come the others in their order. Nodes spread by their names, and each finds the same one again.</summary>
    /// <param name="controllers">How many there are.</param>
    internal static int FirstOf(string node, int controllers) =>
        (int)(BinaryPrimitives.ReadUInt32BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes(node))) % (uint)controllers);

    private async Task TalkAsync(DnsEndPoint controller, Action succeeded, CancellationToken again)
    {
        using GrpcChannel channel = GrpcChannel.ToHost(controller.Host, controller.Port, _tls.ForClient());
        var nodes = new NodesClient(channel);
        long asked = allocator.Clock.Milliseconds;
        RegisterResponse registered = await RegisterAsync(nodes, again).ConfigureAwait(false);
        var tenure = new Tenure(registered, asked);
        try
        {
            registration.Confirm(registered.Generation);
        }
        catch (IOException exception)
        {
            // The attempt stays as it is, and is known again.
            DiskFailed(exception);
        }
        Heard();
        _connected = $"{controller.Host}:{controller.Port}";
        _problem = null;
        succeeded();
        log.LogInformation("registered with controller {Controller}, generation {Generation}", _connected, registered.Generation);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(again);
        Task[] work =
        [
            RenewAsync(nodes, tenure, stop.Token), WatchAsync(nodes, tenure, stop.Token), KeepBlocksAsync(nodes, tenure, stop.Token),
        ];
        Task first = await Task.WhenAny(work).ConfigureAwait(false);
        await stop.CancelAsync().ConfigureAwait(false);
        // All of them end by the first one's failure, which is the one to tell.
        await Task.WhenAll(work).ContinueWith(_ => { }, TaskScheduler.Default).ConfigureAwait(false);
        await first.ConfigureAwait(false);
    }

    /// <exception cref="GrpcException">The controller refuses it, or cannot be reached.</exception>
    private async Task<RegisterResponse> RegisterAsync(NodesClient nodes, CancellationToken again)
    {
        try
        {
            return await nodes.RegisterAsync(Request(), again).ConfigureAwait(false);
        }
        catch (GrpcException exception) when (exception.Status == GrpcStatusCode.AlreadyExists)
        {
            // Whoever has the name has the blocks.
            ConfirmBlocks(allocator.Clock.Milliseconds, 0);
            throw;
        }
    }

    private RegisterRequest Request()
    {
        Registration own = registration.Current;
        var request = new RegisterRequest
        {
            Node = node,
            Machine = own.Machine,
            Generation = own.Generation,
            Attempt = own.Attempt,
            Boot = _boot,
            Mac = DeviceMac.OfNode(node).ToString(),
            Zone = options.Zone?.Value ?? "",
            Underlay = { _underlay.Select(address => address.ToString()) },
        };
        foreach (Located<KeyValuePair<string, string>> label in options.Labels) request.Labels[label.Value.Key] = label.Value.Value;
        return request;
    }

    private async Task RenewAsync(NodesClient nodes, Tenure tenure, CancellationToken stop)
    {
        RegisterResponse registered = tenure.Registered;
        var request = new RenewRequest { Node = node, Lease = registered.Lease, Generation = registered.Generation };
        while (true)
        {
            await Task.Delay(TimeSpan.FromSeconds(tenure.LeaseSeconds / 3.0), stop).ConfigureAwait(false);
            tenure.AskedAt = await RenewAsync(nodes, request, TimeSpan.FromSeconds(tenure.LeaseSeconds), stop).ConfigureAwait(false);
            Heard();
            if (tenure.IsSettled) ConfirmBlocks(tenure.AskedAt, tenure.HoldSeconds);
        }
    }

    /// <summary>A controller that is slow to answer is asked again, as long as the lease may live: to register anew costs it more.</summary>
    /// <returns>When it was asked what it answered, by the allocator's clock.</returns>
    private async Task<long> RenewAsync(NodesClient nodes, RenewRequest request, TimeSpan patience, CancellationToken stop)
    {
        long start = Environment.TickCount64;
        while (true)
        {
            try
            {
                long asked = allocator.Clock.Milliseconds;
                await nodes.RenewAsync(request, stop).ConfigureAwait(false);
                return asked;
            }
            catch (GrpcException exception) when (exception.Status == GrpcStatusCode.DeadlineExceeded && Environment.TickCount64 - start < patience.TotalMilliseconds)
            {
                // It is asked again.
            }
        }
    }

    private async Task WatchAsync(NodesClient nodes, Tenure tenure, CancellationToken stop)
    {
        ControlView own = state.Own();
        await foreach (WatchResponse part in nodes.WatchAsync(new WatchRequest { Node = node, After = state.Revision, Mark = state.Mark }, stop).ConfigureAwait(false))
        {
            Heard();
            if (!state.Take(part)) continue;
            tenure.IsTold = true;
            Volatile.Write(ref _revised, Stopwatch.GetTimestamp());
            changed();
            if (ReferenceEquals(own, own = state.Own())) continue;
            LookAtBlocks();
        }
        throw new GrpcException(GrpcStatusCode.Unavailable, "the controller ended the watch");
    }

    private async Task KeepBlocksAsync(NodesClient nodes, Tenure tenure, CancellationToken stop)
    {
        RegisterResponse registered = tenure.Registered;
        while (true)
        {
            try
            {
                // What was on disk may be older than what this node did since, or of a history that ended when a backup was restored.
                if (tenure.IsTold && state.Revision >= registered.Revision) await _keeper.LookAsync(nodes, registered.Generation, Settled, stop).ConfigureAwait(false);
                if (state.IsSaveDue) state.Save();
                if (_diskProblem is not null) log.LogInformation("the disk takes what this node keeps again");
                _diskProblem = null;
            }
            catch (Exception exception) when (exception is JournalException or IOException)
            {
                DiskFailed(exception);
            }
            Task look = Volatile.Read(ref _look).Task;
            await Task.WhenAny(look, Task.Delay(BlockInterval, stop)).ConfigureAwait(false);
            stop.ThrowIfCancellationRequested();
            if (look.IsCompleted) Volatile.Write(ref _look, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        void Settled()
        {
            tenure.IsSettled = true;
            allocator.ConfirmBlocks(tenure.AskedAt, tenure.HoldSeconds);
            TellDoubt();
        }
    }

    private void ConfirmBlocks(long at, int seconds)
    {
        try
        {
            allocator.ConfirmBlocks(at, seconds);
        }
        catch (JournalException exception)
        {
            DiskFailed(exception);
        }
    }

    /// <summary>Tells once that no more addresses are handed out, and once that they are again.</summary>
    private void TellDoubt()
    {
        string? doubt = allocator.Doubt;
        if (doubt is not null && !_isInDoubt) log.LogError("{Problem}", doubt);
        if (doubt is null && _isInDoubt) log.LogInformation("addresses are handed out again: a controller said which blocks are this node's");
        _isInDoubt = doubt is not null;
    }

    /// <summary>What the disk does not take is tried again; the node's registration does not hang on it.</summary>
    private void DiskFailed(Exception exception)
    {
        if (_diskProblem != exception.Message) log.LogError("{Problem}", exception.Message);
        _diskProblem = exception.Message;
    }

    private void Heard() => Volatile.Write(ref _heard, Stopwatch.GetTimestamp());

    private void Fail(string problem)
    {
        if (_problem != problem) log.LogWarning("{Problem}; what was known last stays in force", problem);
        _problem = problem;
    }
}
