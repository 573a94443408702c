using Overlay.Dataplane.Counters;

namespace Overlay.Agent.Forwarding;

/// <summary>What one queue counts; the counters of a segment last as long as it has a device.</summary>
internal sealed class QueueCounterSet(QueueCounters[] bySegment, QueueCounters unassigned, BatchCounters batches)
{
    public QueueCounterSet(int segments)
        : this([.. Enumerable.Range(0, segments).Select(_ => new QueueCounters())], new QueueCounters(), new BatchCounters())
    {
    }

    /// <summary>By segment index.</summary>
    public QueueCounters[] BySegment { get; } = bySegment;

    /// <summary>Datagrams that belong to no segment: malformed, from an unknown peer, or of an unknown VNI.</summary>
    public QueueCounters Unassigned { get; } = unassigned;

    public BatchCounters Batches { get; } = batches;

    /// <summary>The same counters for other segments.</summary>
    /// <param name="indexes">What each was the index of before; -1: it is new.</param>
    public QueueCounterSet Rearranged(IReadOnlyList<int> indexes) =>
        new([.. indexes.Select(index => index < 0 ? new QueueCounters() : BySegment[index])], Unassigned, Batches);
}

/// <summary>How full a queue's batches are. Written by its worker, read by any thread.</summary>
internal sealed class BatchCounters
{
    /// <summary>Reads of devices that brought something.</summary>
    public long EgressBatches;

    /// <summary>Frames that they brought.</summary>
    public long EgressFrames;

    /// <summary>Receives that brought something.</summary>
    public long IngressBatches;

    /// <summary>Trains of datagrams that they brought.</summary>
    public long IngressTrains;
}
