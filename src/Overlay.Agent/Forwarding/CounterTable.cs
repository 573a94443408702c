using Overlay.Dataplane.Counters;

namespace Overlay.Agent.Forwarding;

/// <summary>The counters of every queue and segment, which last as long as the daemon.</summary>
internal sealed class CounterTable
{
    private readonly QueueCounters[][] _byQueue;

    public CounterTable(int queues, int segments)
    {
        _byQueue = new QueueCounters[queues][];
        for (int i = 0; i < queues; i++) _byQueue[i] = [.. Enumerable.Range(0, segments).Select(_ => new QueueCounters())];
    }

    public int Queues => _byQueue.Length;

    /// <summary>By segment index.</summary>
    public QueueCounters[] OfQueue(int queue) => _byQueue[queue];
}
