using System.Diagnostics;

namespace Overlay.Controller;

/// <summary>
/// The moments after a backup was restored, in which blocks are leased only to nodes that claim what they had: any other could be one that a node holds which has
/// not said so yet. Used by any thread.
/// </summary>
internal sealed class ClaimsOnly
{
    /// <summary>Longer than nodes take to find a controller that is there again, and to ask anew for a block that was refused.</summary>
    private static readonly TimeSpan Time = TimeSpan.FromSeconds(10);

    /// <summary>After the controller's start, before which the backup was restored: no node can keep blocks from others for longer by what it says.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(1);

    private readonly long _started = Stopwatch.GetTimestamp();
    private long _since;

    public bool IsSo => Volatile.Read(ref _since) is not 0 and var since && Stopwatch.GetElapsedTime(since) < Time;

    /// <summary>A node came back that knows of another history.</summary>
    public void Begin()
    {
        if (Stopwatch.GetElapsedTime(_started) < Longest) Volatile.Write(ref _since, Stopwatch.GetTimestamp());
    }
}
