using Overlay.Dataplane.Counters;

namespace Overlay.Agent.Forwarding;

/// <summary>What one queue counts; lasts as long as the daemon.</summary>
internal sealed class QueueCounterSet(int segments)
{
    /// <summary>By segment index.</summary>
    public QueueCounters[] BySegment { get; } = [.. Enumerable.Range(0, segments).Select(_ => new QueueCounters())];

    /// <summary>Datagrams that belong to no segment: malformed, from an unknown peer, or of an unknown VNI.</summary>
    public QueueCounters Unassigned { get; } = new();
}
