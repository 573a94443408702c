using Overlay.Linux.Netlink;

namespace Overlay.Agent.Setup;

/// <summary>
/// Listens for changes of links, addresses and routes on a thread of its own, and hands them over in batches: one is announced when the
/// first event after the last <see cref="Take"/> arrives. What the daemon changes of routes itself is not among them.
/// </summary>
internal sealed class HostEvents : IDisposable
{
    /// <summary>Beyond it, listing everything anew is cheaper than following.</summary>
    private const int MostEvents = 100_000;

    private const int WaitMilliseconds = 60_000;

    /// <summary>Least time between two announcements: a fight with another program over a route costs little.</summary>
    private const int GatherMilliseconds = 100;

    private readonly NetlinkMonitor _monitor;
    private readonly Action _announce;
    private readonly Action<Exception> _died;
    private readonly Thread _thread;
    private readonly Lock _lock = new();
    private List<NetlinkEvent> _events = [];
    private readonly ManualResetEventSlim _stop = new();

    /// <param name="own">Of the requests whose effects are not of interest.</param>
    /// <param name="announce">Called by the listening thread: there is something to take.</param>
    /// <param name="died">Called by the listening thread when it ends on an error.</param>
    public HostEvents(Rtnetlink own, Action announce, Action<Exception> died)
    {
        _monitor = new NetlinkMonitor(own);
        _announce = announce;
        _died = died;
        _thread = new Thread(Run) { Name = "host-events", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Everything since the last call, in the order in which it happened.</summary>
    public IReadOnlyList<NetlinkEvent> Take()
    {
        lock (_lock)
        {
            List<NetlinkEvent> taken = _events;
            _events = [];
            return taken;
        }
    }

    public void Dispose()
    {
        _stop.Set();
        _monitor.Wake();
        if (!_thread.Join(TimeSpan.FromSeconds(10))) throw new TimeoutException($"the thread {_thread.Name} did not end within 10 s");
        _monitor.Dispose();
        _stop.Dispose();
    }

    private void Run()
    {
        try
        {
            var read = new List<NetlinkEvent>();
            while (!_stop.IsSet)
            {
                read.Clear();
                if (!_monitor.Wait(read, WaitMilliseconds) || !Keep(read)) continue;
                _announce();
                _stop.Wait(GatherMilliseconds);
            }
        }
        catch (Exception exception)
        {
            // Whatever it is: the daemon must not go on blind to its host.
            _died(exception);
        }
    }

    /// <returns>True when these are the first to be taken.</returns>
    private bool Keep(List<NetlinkEvent> read)
    {
        lock (_lock)
        {
            bool isFirst = _events.Count == 0;
            if (_events.Count + read.Count > MostEvents) _events = [new EventsLost()];
            else _events.AddRange(read);
            return isFirst;
        }
    }
}
