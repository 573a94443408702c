using System.Diagnostics;

namespace Overlay.SystemTests.Lab;

/// <summary>Waits for what a daemon does in its own time.</summary>
internal static class Eventually
{
    /// <exception cref="TimeoutException">It did not come true by the deadline.</exception>
    public static async Task TrueAsync(Func<Task<bool>> condition, TimeSpan deadline, string what)
    {
        long started = Stopwatch.GetTimestamp();
        using var clock = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while (!await condition())
        {
            if (Stopwatch.GetElapsedTime(started) > deadline) throw new TimeoutException($"not within {deadline}: {what}");
            await clock.WaitForNextTickAsync();
        }
    }
}
