using System.Runtime.CompilerServices;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;

namespace Overlay.Control.State;

/// <summary>
/// Tells any number of watchers what changes. A change after a pause goes out at once; what follows goes out together, the less often the more
/// watchers there are, so that telling them stays a bounded part of the work. What several watchers need is encoded once. Keeps a
/// bounded number of past changes: a watcher that is further behind starts over with the whole state, however slowly it reads.
/// </summary>
public sealed class StateFeed
{
    /// <summary>Changes that are kept for watchers that come back.</summary>
    public const int MostKept = 65_536;

    /// <summary>Changes in one message: it stays below the sizes that gRPC implementations take unless told otherwise.</summary>
    private const int MostTogether = 1000;

    private static readonly TimeSpan LeastPace = TimeSpan.FromMilliseconds(20);

    private static readonly TimeSpan MostPace = TimeSpan.FromMilliseconds(400);

    /// <summary>Several times what it takes to write a message to one watcher.</summary>
    private static readonly TimeSpan PaceOfAWatcher = TimeSpan.FromMicroseconds(400);

    private readonly StateCache _cache;
    private readonly Lock _lock = new();
    private readonly Lock _encoding = new();
    private readonly ChangeLog _kept = new(MostKept);
    private readonly Dictionary<long, Answer> _answers = [];
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Answer? _whole;
    private long _added;
    private long _published;
    private bool _pacing;
    private int _history;
    private int _watchers;

    internal StateFeed(StateCache cache) => _cache = cache;

    /// <summary>Messages that lead to one revision, the last of which is not marked with more.</summary>
    /// <param name="Changes">In all of them.</param>
    private sealed record Answer(long Revision, int History, int Changes, IReadOnlyList<GrpcFrame<WatchResponse>> Frames);

    private TimeSpan Pace
    {
        get
        {
            TimeSpan wanted = PaceOfAWatcher * Volatile.Read(ref _watchers);
            return wanted < LeastPace ? LeastPace : wanted > MostPace ? MostPace : wanted;
        }
    }

    /// <summary>The whole state or what changed since a revision, then every change, until cancelled.</summary>
    /// <param name="after">The revision that the watcher knows; 0: none.</param>
    public async IAsyncEnumerable<GrpcFrame<WatchResponse>> WatchAsync(long after, [EnumeratorCancellation] CancellationToken cancellation)
    {
        int? history = null;
        Interlocked.Increment(ref _watchers);
        try
        {
            while (true)
            {
                Task next;
                Answer? answer;
                lock (_lock)
                {
                    next = _next.Task;
                    bool startsOver = after < _kept.Floor || after == 0 || after > _added || _history != (history ?? _history);
                    answer = startsOver ? null : Since(after);
                    history = _history;
                }
                answer ??= Whole();
                foreach (GrpcFrame<WatchResponse> frame in answer.Frames) yield return frame;
                if (answer.Frames.Count == 0) await next.WaitAsync(cancellation).ConfigureAwait(false);
                else after = answer.Revision;
            }
        }
        finally
        {
            Interlocked.Decrement(ref _watchers);
        }
    }

    /// <summary>Of revisions that only grow, but after <see cref="Forget"/>.</summary>
    internal void Add(long revision, Change[] changes)
    {
        lock (_lock)
        {
            if (_added == 0) _kept.Clear(revision);
            _added = revision;
            if (changes.Length == 0) return;
            _kept.Add(revision, changes);
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
            _kept.Clear(revision);
            _added = _published = revision;
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
    private Answer Since(long after)
    {
        if (_answers.TryGetValue(after, out Answer? known)) return known;
        var changes = new Dictionary<string, Change>();
        foreach (Change change in _kept.Between(after, _published)) changes[change.Key] = change;
        Answer answer = after >= _published ? new Answer(after, _history, 0, []) : Encode(_published, _history, changes.Values, _cache.MarkAt(_published), reset: false);
        _answers[after] = answer;
        return answer;
    }

    /// <summary>
    /// The whole state: encoded anew only when a part of it has changed that is worth it. What changed since is told next, as to everybody else.
    /// </summary>
    private Answer Whole()
    {
        // Whoever comes meanwhile gets the same.
        lock (_encoding)
        {
            int history;
            lock (_lock)
            {
                history = _history;
                if (_whole is { } known && known.History == history && known.Revision >= _kept.Floor && _kept.CountAfter(known.Revision) <= Math.Max(MostTogether / 4, known.Changes / 4))
                    return known;
            }
            (long revision, IReadOnlyList<Change> all) = _cache.Everything();
            return _whole = Encode(revision, history, all, _cache.MarkAt(revision), reset: true);
        }
    }

    private static Answer Encode(long revision, int history, IReadOnlyCollection<Change> changes, string mark, bool reset)
    {
        var frames = new List<GrpcFrame<WatchResponse>>();
        int left = changes.Count;
        foreach (Change[] part in changes.Chunk(MostTogether))
        {
            left -= part.Length;
            frames.Add(new(new WatchResponse { Revision = revision, Mark = mark, Reset = reset && frames.Count == 0, More = left > 0, Changes = { part } }));
        }
        if (frames.Count == 0) frames.Add(new(new WatchResponse { Revision = revision, Mark = mark, Reset = reset }));
        return new Answer(revision, history, changes.Count, frames);
    }
}
