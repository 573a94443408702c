using Overlay.Rpc.Control;

namespace Overlay.Control.State;

/// <summary>The last changes, each with its revision, found by revision. For one thread at a time.</summary>
/// <param name="most">Changes that are kept, but that the last revision is kept whole.</param>
internal sealed class ChangeLog(int most)
{
    private readonly List<(long Revision, long Before, Change[] Changes)> _entries = [];
    private int _first;
    private long _count;

    /// <summary>All changes after this revision are here.</summary>
    public long Floor { get; private set; }

    /// <summary>Forgets everything up to a revision, and whatever else there is.</summary>
    public void Clear(long revision)
    {
        _entries.Clear();
        _first = 0;
        _count = 0;
        Floor = revision;
    }

    /// <param name="revision">Greater than those before.</param>
    /// <param name="changes">Of that revision.</param>
    public void Add(long revision, Change[] changes)
    {
        _entries.Add((revision, _count, changes));
        _count += changes.Length;
        while (_first < _entries.Count - 1 && _count - _entries[_first].Before > most) Floor = _entries[_first++].Revision;
        // Moving the rest costs as much as was dropped.
        if (_first <= _entries.Count / 2) return;
        _entries.RemoveRange(0, _first);
        _first = 0;
    }

    /// <summary>How many changes came after a revision.</summary>
    public int CountAfter(long revision)
    {
        int at = After(revision);
        return at == _entries.Count ? 0 : (int)(_count - _entries[at].Before);
    }

    /// <summary>Changes after one revision and up to another, in their order.</summary>
    public IEnumerable<Change> Between(long after, long upTo)
    {
        for (int i = After(after); i < _entries.Count && _entries[i].Revision <= upTo; i++)
        {
            foreach (Change change in _entries[i].Changes) yield return change;
        }
    }

    /// <summary>Index of the first entry after a revision.</summary>
    private int After(long revision)
    {
        int low = _first;
        int high = _entries.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_entries[middle].Revision <= revision) low = middle + 1;
            else high = middle;
        }
        return low;
    }
}
