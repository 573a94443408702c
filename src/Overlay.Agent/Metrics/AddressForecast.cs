namespace Overlay.Agent.Metrics;

/// <summary>When addresses will run out at the pace of the last hour. One thread adds, any reads.</summary>
internal sealed class AddressForecast
{
    /// <summary>How far back growth is looked at.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromHours(1);

    /// <summary>Over less than this, growth says nothing.</summary>
    private static readonly TimeSpan LeastSpan = TimeSpan.FromMinutes(5);

    private readonly Queue<(TimeSpan At, long InUse)> _samples = [];
    private readonly Lock _lock = new();

    /// <param name="at">Of a clock that never goes back.</param>
    public void Add(TimeSpan at, long inUse)
    {
        lock (_lock)
        {
            _samples.Enqueue((at, inUse));
            while (at - _samples.Peek().At > Window) _samples.Dequeue();
        }
    }

    /// <returns>Infinity where addresses do not become fewer, or too little is known.</returns>
    public double SecondsLeft(TimeSpan now, long inUse, long free)
    {
        lock (_lock)
        {
            if (free <= 0) return 0;
            if (_samples.Count == 0 || now - _samples.Peek().At < LeastSpan) return double.PositiveInfinity;
            (TimeSpan since, long before) = _samples.Peek();
            double growth = (inUse - before) / (now - since).TotalSeconds;
            return growth <= 0 ? double.PositiveInfinity : free / growth;
        }
    }
}
