using System.IO.Pipelines;
using Overlay.Dataplane.Observation;

namespace Overlay.Agent.Capture;

/// <summary>A capture that runs: takes packets from the workers' queues and writes them out, at the pace of whoever reads.</summary>
internal sealed class CaptureSession : IDisposable
{
    /// <summary>Bytes that wait for the reader in one queue; what comes beyond is lost, and counted.</summary>
    private const int QueueBytes = 16 << 20;

    private const int QueuePackets = 16_384;

    /// <summary>Packets of a queue that are written before another has its turn.</summary>
    private const int Turn = 256;

    private const int FlushBytes = 256 << 10;

    /// <summary>How long a packet may wait: while some come, and doubling to where none do. Nobody wakes the session: that would be a system call of the worker's.</summary>
    private static readonly TimeSpan ShortPause = TimeSpan.FromMilliseconds(5), LongPause = TimeSpan.FromMilliseconds(40);

    private readonly CancellationTokenSource _end = new();
    private readonly CaptureRequest _request;
    private readonly DateTime _start = DateTime.UtcNow;

    /// <param name="queues">Observers of the node: each has a queue here.</param>
    public CaptureSession(string id, CaptureRequest request, int queues)
    {
        Id = id;
        _request = request;
        Queues = [.. Enumerable.Range(0, queues).Select(_ => new CaptureQueue(request.Filter, request.SnapLength, QueuePackets, QueueBytes))];
    }

    public string Id { get; }

    /// <summary>By observer of the node.</summary>
    public IReadOnlyList<CaptureQueue> Queues { get; }

    public long Lost => Queues.Sum(queue => queue.LostInner + queue.LostOuter);

    /// <summary>True once <see cref="End"/> was called.</summary>
    public bool IsEnding => _end.IsCancellationRequested;

    /// <summary>Has <see cref="RunAsync"/> write what is there, complete the file and return.</summary>
    public void End() => _end.Cancel();

    /// <summary>Writes packets until the request's count is reached, <see cref="End"/> is called, or nobody reads any more.</summary>
    public async Task RunAsync(PipeWriter output, CapturedPackets packets, CancellationToken aborted)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(_end.Token, aborted);
        TimeSpan pause = ShortPause;
        // What was written when the file began.
        await output.FlushAsync(aborted).ConfigureAwait(false);
        while (true)
        {
            bool isEnding = _end.IsCancellationRequested;
            bool any = false;
            foreach (CaptureQueue queue in Queues)
            {
                while (Drain(queue, output, packets))
                {
                    any = true;
                    if ((await output.FlushAsync(aborted).ConfigureAwait(false)).IsCompleted) return;
                }
            }
            if (Left(packets) <= 0 || isEnding) break;
            if (any)
            {
                pause = ShortPause;
                continue;
            }
            await Task.Delay(pause, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            aborted.ThrowIfCancellationRequested();
            pause = TimeSpan.FromTicks(Math.Min(2 * pause.Ticks, LongPause.Ticks));
        }
        packets.WriteStatistics(_start, Queues.Sum(queue => queue.LostInner), Queues.Sum(queue => queue.LostOuter));
        await output.FlushAsync(aborted).ConfigureAwait(false);
    }

    public void Dispose() => _end.Dispose();

    private long Left(CapturedPackets packets) => (_request.Count ?? long.MaxValue) - packets.Count;

    /// <returns>True when something was written.</returns>
    private bool Drain(CaptureQueue queue, PipeWriter output, CapturedPackets packets)
    {
        int taken = 0;
        while (taken < Turn && output.UnflushedBytes < FlushBytes && Left(packets) > 0 && queue.TryPeek(out PacketRecord record, out ReadOnlySpan<byte> bytes))
        {
            packets.Write(record, bytes, Left(packets));
            queue.Release();
            taken++;
        }
        return taken > 0;
    }
}
