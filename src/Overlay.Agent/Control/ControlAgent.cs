using Microsoft.Extensions.Logging;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Agent.Setup;
using Overlay.Control.Ipam;
using Overlay.Linux;
using Overlay.Rpc;

namespace Overlay.Agent.Control;

/// <summary>
/// A node whose networks and peers controllers tell. What it knows is on disk: it starts, and hands out addresses, while they are away.
/// </summary>
internal sealed class ControlAgent : IDisposable
{
    private readonly ControlOptions _options;
    private readonly ControlState _state;
    private readonly RegistrationFile _registration;
    private readonly ControlSession _session;
    private readonly Action<Exception> _died;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _end = new();
    private readonly HashSet<string> _told = [];
    private Task _running = Task.CompletedTask;

    /// <param name="basis">What the configuration file says of the node itself.</param>
    /// <param name="changed">Called by any thread: there is another plan.</param>
    /// <param name="died">Called by any thread: the conversation with the controllers ended on an error.</param>
    /// <exception cref="StartRefusedException">What is on disk cannot be used.</exception>
    public ControlAgent(NodePlan basis, Action changed, Action<Exception> died, ILogger log)
    {
        Basis = basis;
        _died = died;
        _log = log;
        _options = basis.Options.Control!;
        string folder = _options.State;
        try
        {
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            Allocator = new NodeAllocator(AllocatorOptions(basis.Options), BootTime.Clock);
        }
        catch (Exception exception) when (exception is JournalException or IOException or UnauthorizedAccessException)
        {
            throw new StartRefusedException($"'control: state: {folder}' cannot be used: {exception.Message}", "name another folder, or mend this one", exception);
        }
        _registration = new RegistrationFile(folder);
        _state = new ControlState(folder, basis.Options.Node);
        _session = new ControlSession(basis.Options.Node, _options, _registration, _state, Allocator, changed, log);
    }

    /// <summary>Hands out the addresses of this node's blocks.</summary>
    public NodeAllocator Allocator { get; }

    /// <summary>What keeps the node from its controllers, or from more blocks.</summary>
    public IReadOnlyList<string> Problems => _session.Problems;

    /// <inheritdoc cref="ControlState.Own"/>
    public ControlView Own => _state.Own();

    /// <summary>What the configuration file says of the node itself.</summary>
    public NodePlan Basis { get; private set; }

    /// <summary>The plan by what is known now. What had to be left out is logged when it is new.</summary>
    public NodePlan Plan()
    {
        using var ways = new HostWays(Basis.Options);
        NodePlan plan = new ControlPlanner(Basis, _state.View(), ways.Find).Plan(out IReadOnlyList<string> problems);
        foreach (string problem in problems.Where(problem => !_told.Contains(problem))) _log.LogWarning("{Problem}", problem);
        _told.Clear();
        _told.UnionWith(problems);
        return plan;
    }

    public void Start()
    {
        _session.Use([.. Basis.Underlay.Addresses]);
        _running = Task.Run(RunAsync);
    }

    /// <summary>Takes over other settings of the file, or other addresses of the host.</summary>
    public void Use(NodePlan basis)
    {
        bool moved = !basis.Underlay.Addresses.SequenceEqual(Basis.Underlay.Addresses);
        Basis = basis;
        if (moved) _session.Use([.. basis.Underlay.Addresses]);
    }

    private async Task RunAsync()
    {
        try
        {
            await _session.RunAsync(_end.Token).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            // Whatever it is: a node that hears nothing of its controllers any more must not go on as if it did.
            _died(exception);
        }
    }

    private static NodeAllocatorOptions AllocatorOptions(OverlaydOptions options)
    {
        var allocator = new NodeAllocatorOptions
        {
            Journal = Path.Combine(options.Control!.State, "addresses.journal"),
            IsLeased = true,
            LowWater = options.Control.LowWater,
            HighWater = options.Control.HighWater,
        };
        return options.Pods is not { } pods ? allocator : allocator with
        {
            CoolDown = TimeSpan.FromSeconds(pods.CoolDownSeconds),
            LeakConfirmation = TimeSpan.FromSeconds(pods.LeakSeconds),
        };
    }

    /// <inheritdoc cref="ControlSession.Silence"/>
    public TimeSpan Silence => _session.Silence;

    /// <inheritdoc cref="ControlSession.RevisionAge"/>
    public TimeSpan RevisionAge => _session.RevisionAge;

    public ControlStatus Report() => new(
        _session.Connected, _state.Revision, _registration.Current.Generation, _session.Problems,
        [.. Allocator.BlocksInUse.Select(block => new BlockStatus(block.Network, block.Prefix.ToString(), block.InUse, block.Size))]);

    public void Dispose()
    {
        _end.Cancel();
        if (!_running.Wait(TimeSpan.FromSeconds(10))) throw new TimeoutException("the conversation with the controllers did not end within 10 s");
        try
        {
            _state.Save();
        }
        catch (IOException exception)
        {
            _log.LogWarning("what the controllers told cannot be kept: {Problem}", exception.Message);
        }
        Allocator.Dispose();
        _end.Dispose();
    }
}
