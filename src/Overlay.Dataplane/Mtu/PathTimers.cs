namespace Overlay.Dataplane.Mtu;

/// <summary>When paths are probed (RFC 8899, 5.1.1). All in milliseconds.</summary>
public sealed record PathTimers
{
    /// <summary>False: no probe is sent; those of peers are answered all the same.</summary>
    public bool Probes { get; init; } = true;

    /// <summary>How often a size that passed is confirmed while packets are sent to the peer (CONFIRMATION_TIMER).</summary>
    public double Confirm { get; init; } = 1_000;

    /// <summary>The same while nothing is sent.</summary>
    public double ConfirmIdle { get; init; } = 10_000;

    /// <summary>
    /// How long a smaller MTU is believed before a larger one is tried (PMTU_RAISE_TIMER; RFC 1191, 6.3: ten minutes). Other evidence than
    /// probes is forgotten then.
    /// </summary>
    public double Raise { get; init; } = 600_000;

    /// <summary>How often a peer that answers nothing is asked again.</summary>
    public double AskAgain { get; init; } = 30_000;

    /// <summary>How long what was known is kept while nothing gets through.</summary>
    public double Forget { get; init; } = 60_000;

    /// <summary>Least time between two searches that somebody else's message sets off.</summary>
    public double Heed { get; init; } = 1_000;

    /// <summary>How long an answer is waited for while the round trip time is not known.</summary>
    public double FirstWait { get; init; } = 250;

    /// <summary>The same at least, when it is.</summary>
    public double LeastWait { get; init; } = 40;
}
