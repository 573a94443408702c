using Overlay.Rpc.Control;

namespace Overlay.Agent.Control;

/// <summary>One registration, and what became of it.</summary>
internal sealed class Tenure(RegisterResponse registered, long asked)
{
    private long _askedAt = asked;
    private volatile bool _isTold;
    private volatile bool _isSettled;

    public RegisterResponse Registered => registered;

    /// <summary>How long the controllers take the node for alive after each renewal.</summary>
    public int LeaseSeconds => Math.Max(registered.LeaseSeconds, 1);

    /// <summary>Since the node last asked, how long its blocks are its own; a controller that does not say so keeps them for the lease at least.</summary>
    public int HoldSeconds => registered.HoldSeconds > 0 ? registered.HoldSeconds : LeaseSeconds;

    /// <summary>When the node asked for what was granted last.</summary>
    public long AskedAt
    {
        get => Volatile.Read(ref _askedAt);
        set => Volatile.Write(ref _askedAt, value);
    }

    /// <summary>Whether the controller told a whole revision.</summary>
    public bool IsTold
    {
        get => _isTold;
        set => _isTold = value;
    }

    /// <summary>Whether the blocks are those that the controller told of.</summary>
    public bool IsSettled
    {
        get => _isSettled;
        set => _isSettled = value;
    }
}
