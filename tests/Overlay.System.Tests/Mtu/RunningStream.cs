using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Mtu;

/// <summary>Watches a stream between pods while something is changed beneath it.</summary>
internal static class RunningStream
{
    private const long SomePackets = 5_000;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    /// <summary>Waits until packets have arrived at the far pod's host; a stream that failed is told at once.</summary>
    public static async Task FlowAsync(Task stream, OverlayDaemon near, OverlayDaemon far)
    {
        using var expired = new CancellationTokenSource(Deadline);
        long before = await ArrivedAsync(far);
        while (await ArrivedAsync(far) - before < SomePackets)
        {
            if (stream.IsCompleted) await stream;
            if (expired.IsCancellationRequested) throw new TimeoutException($"the stream stands still: {near.Log}{far.Log}");
        }
    }

    private static async Task<long> ArrivedAsync(OverlayDaemon daemon) => (await daemon.StatusAsync()).Queues.Sum(queue => queue.IngressOut.Packets);
}
