using Overlay.Agent.Forwarding;
using Overlay.Dataplane.Counters;
using Overlay.Linux.Underlay;

namespace Overlay.Agent.Health;

/// <summary>Counts over the last minute what should not happen, so that an old trouble is not told for ever. One thread looks, any asks.</summary>
internal sealed class DropWatch
{
    /// <summary>Looks that a minute has.</summary>
    private const int Window = 12;

    private readonly Queue<(long[] Drops, long Overruns)> _looks = [];
    private readonly Lock _lock = new();
    private readonly Node _node;

    /// <summary>Counts from now on.</summary>
    public DropWatch(Node node)
    {
        _node = node;
        Look();
    }

    /// <summary>Takes the counters' state; called every five seconds.</summary>
    public void Look()
    {
        (long[] Drops, long Overruns) now = Read();
        lock (_lock)
        {
            _looks.Enqueue(now);
            while (_looks.Count > Window + 1) _looks.Dequeue();
        }
    }

    /// <returns>Packets dropped in the last minute, by reason, and datagrams that found the sockets' buffers full.</returns>
    public (IReadOnlyDictionary<DropReason, long> Drops, long Overruns) Recent()
    {
        (long[] drops, long overruns) = Read();
        lock (_lock)
        {
            (long[] Drops, long Overruns) first = _looks.Count > 0 ? _looks.Peek() : (drops, overruns);
            // A queue's counters begin anew with its sockets.
            return (DropReasons.All.ToDictionary(reason => reason, reason => Math.Max(drops[(int)reason] - first.Drops[(int)reason], 0)), Math.Max(overruns - first.Overruns, 0));
        }
    }

    private (long[] Drops, long Overruns) Read()
    {
        long[] drops = new long[DropReasons.All.Count];
        long overruns = 0;
        lock (_node.Structure)
        {
            foreach (QueueCounterSet queue in _node.Counters)
            {
                foreach (QueueCounters counters in queue.BySegment.Append(queue.Unassigned))
                {
                    for (int i = 0; i < drops.Length; i++) drops[i] += counters.Drops[i];
                }
            }
            foreach (int descriptor in _node.Underlay.Queues.SelectMany(queue => queue.ReceiveDescriptors)) overruns += SocketMemory.Of(descriptor).Overruns;
        }
        return (drops, overruns);
    }
}
