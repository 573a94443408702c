using System.Diagnostics;

namespace Overlay.Dataplane.Egress;

/// <summary>Lets bursts through and holds the average: <paramref name="ratePerSecond"/> tokens a second are added up to <paramref name="burst"/>.</summary>
/// <param name="ratePerSecond">Tokens a second.</param>
/// <param name="burst">Tokens at most, and to begin with.</param>
public sealed class TokenBucket(int ratePerSecond, int burst)
{
    private double _tokens = burst;
    private long _last;

    /// <param name="now">Ticks of <see cref="Stopwatch.GetTimestamp"/>, never less than in the call before.</param>
    /// <returns>False when there is no token to take.</returns>
    public bool TryTake(long now)
    {
        if (_last != 0) _tokens = Math.Min(burst, _tokens + ((now - _last) * (double)ratePerSecond / Stopwatch.Frequency));
        _last = now;
        if (_tokens < 1) return false;
        _tokens--;
        return true;
    }
}
