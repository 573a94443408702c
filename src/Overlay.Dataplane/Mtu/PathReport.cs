namespace Overlay.Dataplane.Mtu;

/// <summary>Where the search for a path's MTU stands (RFC 8899, 5.2).</summary>
public enum PathState : byte
{
    /// <summary>Nothing has been confirmed yet.</summary>
    Base,

    /// <summary>Sizes are being tried.</summary>
    Searching,

    /// <summary>The largest size that passes is known, confirmed now and then, and tried to be raised.</summary>
    Complete,

    /// <summary>Probes were answered once, and now not even the smallest is. What was known stays in force.</summary>
    Error,

    /// <summary>
    /// The peer answers no probes, or probing is off: RFC 8899 calls it disabled. What ICMP errors, the MSS of TCP connections and their
    /// retransmissions tell is taken.
    /// </summary>
    Unanswered,
}

/// <summary>What the MTU of a path rests on.</summary>
public enum PathEvidence : byte
{
    /// <summary>Interfaces and routes of this host alone.</summary>
    Link,

    /// <summary>Probes that were answered.</summary>
    Probes,

    /// <summary>An ICMP error that quoted one of our packets.</summary>
    Icmp,

    /// <summary>The largest MSS that TCP connections from behind the peer offered.</summary>
    TcpMss,

    /// <summary>TCP segments that only arrived when they were cut smaller.</summary>
    TcpRepeats,
}

/// <summary>What is known of a path, and how.</summary>
/// <param name="IsBlackHole">Packets that this host's interfaces allow are lost on the way, and nobody says so.</param>
/// <param name="RoundTripMilliseconds">Of probes, smoothed; null: none was answered.</param>
/// <param name="ProbesSent">Since the daemon started.</param>
/// <param name="ProbesAnswered">Of them.</param>
public sealed record PathReport(
    PathState State, PathEvidence Evidence, bool IsBlackHole, double? RoundTripMilliseconds, long ProbesSent, long ProbesAnswered)
{
    public static PathReport None { get; } = new(PathState.Base, PathEvidence.Link, IsBlackHole: false, null, 0, 0);
}
