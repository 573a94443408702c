namespace Overlay.Control;

/// <summary>Pauses between attempts that double up to a longest one, each cut by up to a half at random, so that many do not come back at once.</summary>
public sealed class BackOff(TimeSpan first, TimeSpan longest)
{
    private const int MostDoublings = 16;

    /// <param name="attempt">0 for the first pause.</param>
    public Task WaitAsync(int attempt, CancellationToken cancellation)
    {
        double most = Math.Min(longest.TotalMilliseconds, first.TotalMilliseconds * (1 << Math.Min(attempt, MostDoublings)));
        return Task.Delay(TimeSpan.FromMilliseconds(most * (0.5 + (Random.Shared.NextDouble() / 2))), cancellation);
    }
}
