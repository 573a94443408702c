using System.Runtime.CompilerServices;
using Overlay.Rpc.Control;

namespace Overlay.Control.State;

/// <summary>
/// Tells any number of watchers what changes. A change goes out at once, and what follows within <see cref="Pace"/> goes out together. Keeps
/// a bounded number of past changes: a watcher that is further behind starts over with the whole state, however slowly it reads.
/// </summary>
public sealed class StateFeed
{
    public static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(20);

    /// <summary>Changes that are kept for watchers that come back.</summary>
    public const int MostKept = 65_536;

    /// <summary>Changes in one message: it stays below the sizes that gRPC implementations take unless told otherwise.</summary>
    private const int MostTogether = 1000;

    private readonly StateCache _cache;
    private readonly Lock _lock = new();
    private readonly Queue<(long Revision, Change[] Changes)> _kept = new();
    private readonly Dictionary<long, List<WatchResponse>> _answers = [];
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _keptChanges;
    private long _floor;
    private long _added;
    private long _published;
    private bool _pacing;
    private int _history;

    internal StateFeed(StateCache cache) => _cache = cache;

    /// <summary>The whole state or what changed since a revision, then every change, until cancelled.</summary>
    /// <param name="after">The revision that the watcher knows; 0: none.</param>
    public async IAsyncEnumerable<WatchResponse> WatchAsync(long after, [EnumeratorCancellation] CancellationToken cancellation)
    {
        int? history = null;
        while (true)
        {
            Task next;
            List<WatchResponse>? answers;
            lock (_lock)
            {
                next = _next.Task;
                bool startsOver = after < _floor || after == 0 || after > _added || _history != (history ?? _history);
                answers = startsOver ? null : Answer(after);
                history = _history;
            }
            answers ??= Whole();
            foreach (WatchResponse answer in answers)
            {
                yield return answer;
                after = answer.Revision;
            }
            if (answers.Count == 0) await next.WaitAsync(cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Of revisions that only grow, but after <see cref="Forget"/>.</summary>
    internal void Add(long revision, Change[] changes)
    {
        lock (_lock)
        {
            if (_added == 0) _floor = revision;
            _added = revision;
            if (changes.Length == 0) return;
            _kept.Enqueue((revision, changes));
            _keptChanges += changes.Length;
            while (_keptChanges > MostKept && _kept.Count > 1)
            {
                (long dropped, Change[] gone) = _kept.Dequeue();
                _keptChanges -= gone.Length;
                _floor = dropped;
            }
            if (_pacing) return;
            _pacing = true;
        }
        Publish();
    }

    /// <summary>The store went back to an older state: everybody starts over.</summary>
    internal void Forget(long revision)
    {
        TaskCompletionSource told;
        lock (_lock)
        {
            _kept.Clear();
            _keptChanges = 0;
            _floor = _added = _published = revision;
            _history++;
            _answers.Clear();
            told = _next;
            _next = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        told.SetResult();
    }

    private void Publish()
    {
        TaskCompletionSource told;
        lock (_lock)
        {
            if (_published == _added)
            {
                _pacing = false;
                return;
            }
            _published = _added;
            _answers.Clear();
            told = _next;
            _next = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        // What comes meanwhile goes out together.
        _ = Task.Delay(Pace).ContinueWith(_ => Publish(), TaskScheduler.Default);
        told.SetResult();
    }

    /// <summary>What was published after a revision; watchers that know the same share it.</summary>
    private List<WatchResponse> Answer(long after)
    {
        if (after >= _published) return [];
        if (_answers.TryGetValue(after, out List<WatchResponse>? known)) return known;
        var changes = new Dictionary<string, Change>();
        foreach ((long revision, Change[] each) in _kept)
        {
            if (revision <= after || revision > _published) continue;
            foreach (Change change in each) changes[change.Key] = change;
        }
        List<WatchResponse> answer = Messages(_published, changes.Values, reset: false);
        _answers[after] = answer;
        return answer;
    }

    private List<WatchResponse> Whole()
    {
        (long revision, IReadOnlyList<Change> all) = _cache.Everything();
        return Messages(revision, all, reset: true);
    }

    private static List<WatchResponse> Messages(long revision, IEnumerable<Change> changes, bool reset)
    {
        var messages = new List<WatchResponse>();
        foreach (Change[] part in changes.Chunk(MostTogether))
            messages.Add(new WatchResponse { Revision = revision, Reset = reset && messages.Count == 0, More = true, Changes = { part } });
        if (messages.Count == 0) messages.Add(new WatchResponse { Revision = revision, Reset = reset });
        messages[^1].More = false;
        return messages;
    }
}
