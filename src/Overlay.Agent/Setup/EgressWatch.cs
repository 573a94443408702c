namespace Overlay.Agent.Setup;

/// <summary>
/// Looks at intervals whether injected super-packets still get through, on a thread of its own: while a packet filter blocks them, each look
/// waits for seconds.
/// </summary>
internal sealed class EgressWatch : IDisposable
{
    /// <summary>How long super-packets may be lost, at most, to a packet filter that somebody changed.</summary>
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private readonly Action<CancellationToken> _verify;
    private readonly Action<Exception> _died;
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _thread;

    /// <param name="verify">Looks, and acts on it; its wait ends with the token.</param>
    /// <param name="died">Called by the thread when it ends on an error.</param>
    public EgressWatch(Action<CancellationToken> verify, Action<Exception> died)
    {
        _verify = verify;
        _died = died;
        _thread = new Thread(Run) { Name = "egress-watch", IsBackground = true };
        _thread.Start();
    }

    public void Dispose()
    {
        _stop.Cancel();
        if (!_thread.Join(TimeSpan.FromSeconds(10))) throw new TimeoutException($"the thread {_thread.Name} did not end within 10 s");
        _stop.Dispose();
    }

    private void Run()
    {
        try
        {
            while (!_stop.Token.WaitHandle.WaitOne(Interval)) _verify(_stop.Token);
        }
        catch (Exception exception)
        {
            // Whatever it is: the daemon must not go on losing packets unseen.
            _died(exception);
        }
    }
}
