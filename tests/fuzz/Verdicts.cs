using Overlay.Dataplane.Counters;

namespace Overlay.Fuzz;

/// <summary>By which reasons packets were dropped: what shows that the inputs get past the first check.</summary>
internal sealed class Verdicts
{
    private readonly bool[] _reached = new bool[DropReasons.All.Count];

    public void Add(QueueCounters counters)
    {
        for (int i = 0; i < _reached.Length; i++) _reached[i] |= counters.Drops[i] > 0;
    }

    public override string ToString()
    {
        string[] missing = [.. DropReasons.All.Where(reason => !_reached[(int)reason]).Select(DropReasons.Name)];
        return $"{_reached.Length - missing.Length} of {_reached.Length} reasons to drop were met; not {string.Join(", ", missing.DefaultIfEmpty("one is missing"))}";
    }
}
