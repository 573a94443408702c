using Google.Protobuf;
using Overlay.Linux.Storage;
using Overlay.Rpc.Control;

namespace Overlay.Agent.Control;

/// <summary>
/// What the controllers told last, in memory and on disk, so that a daemon that starts while they are away goes on with it. Used by any thread.
/// </summary>
internal sealed class ControlState
{
    private const int ChangesWrittenTogether = 100;

    private static readonly TimeSpan SaveQuiet = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan SaveLatest = TimeSpan.FromSeconds(30);

    private readonly Lock _lock = new();
    private readonly string _path;
    private readonly string _node;
    private readonly List<WatchResponse> _parts = [];
    private readonly Dictionary<string, Change> _changes = [];
    private readonly Dictionary<string, Change> _own = [];

    /// <summary>By key, what is wrong with changes that this version does not take. They stay on disk: a later version that starts from there may.</summary>
    private readonly Dictionary<string, string> _strange = [];
    private ControlView? _view;
    private ControlView? _ownView;
    private long _revision;
    private string _mark = "";
    private bool _isRestored;
    private long _saved;
    private long _changedAt;
    private long _unsavedSince;

    /// <param name="node">Name of this node.</param>
    /// <exception cref="StartRefusedException">The file is there and cannot be read.</exception>
    public ControlState(string folder, string node)
    {
        _path = Path.Combine(folder, "network.state");
        _node = node;
        try
        {
            if (!File.Exists(_path)) return;
            Apply(WatchResponse.Parser.ParseFrom(File.ReadAllBytes(_path)));
            _saved = _revision;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new StartRefusedException($"{_path} cannot be read: {exception.Message}", "check 'control: state:'", exception);
        }
        catch (InvalidProtocolBufferException)
        {
            // It only saves asking: the controllers tell everything anew.
        }
    }

    /// <summary>The revision that is known as a whole; 0: nothing is.</summary>
    public long Revision
    {
        get
        {
            lock (_lock) return _revision;
        }
    }

    /// <summary>Mark of the store's history at that revision.</summary>
    public string Mark
    {
        get
        {
            lock (_lock) return _mark;
        }
    }

    /// <summary>
    /// Whether it is time to write to disk what changed: once nothing came for a moment, or there was no such moment for long, as all of it
    /// is written each time.
    /// </summary>
    public bool IsSaveDue
    {
        get
        {
            lock (_lock)
            {
                if (_revision == _saved) return false;
                long now = Environment.TickCount64;
                return _saved == 0 || now - _changedAt >= SaveQuiet.TotalMilliseconds || now - _unsavedSince >= SaveLatest.TotalMilliseconds;
            }
        }
    }

    /// <summary>What controllers told that this version does not take, and leaves out.</summary>
    public IReadOnlyList<string> Strange
    {
        get
        {
            lock (_lock) return [.. _strange.Values];
        }
    }

    /// <summary>Takes one message of a watch.</summary>
    /// <returns>True when it was the last of its revision, and something changed.</returns>
    public bool Take(WatchResponse part)
    {
        lock (_lock)
        {
            // The mark that comes before a state that is told anew goes with it.
            if (part.Reset && _parts is not [{ Restored: true }]) _parts.Clear();
            _parts.Add(part);
            if (part.More) return false;
            foreach (WatchResponse each in _parts) Apply(each);
            _parts.Clear();
            return true;
        }
    }

    /// <summary>Whether a backup was restored, so that what is told is older than what this node did; once.</summary>
    public bool TakeRestored()
    {
        lock (_lock)
        {
            bool isRestored = _isRestored;
            _isRestored = false;
            return isRestored;
        }
    }

    /// <summary>A watch ended in the middle of a revision.</summary>
    public void DropParts()
    {
        lock (_lock) _parts.Clear();
    }

    /// <summary>Everything at one revision.</summary>
    public ControlView View()
    {
        lock (_lock) return _view ??= new ControlView(_revision, _changes.Where(each => !_strange.ContainsKey(each.Key)).ToDictionary());
    }

    /// <summary>
    /// What concerns this node's addresses: networks, reservations, its own registration and blocks, what is lent and wished for. The same object until some of it changes;
    /// its revision may then be behind.
    /// </summary>
    public ControlView Own()
    {
        lock (_lock) return _ownView ??= new ControlView(_revision, new Dictionary<string, Change>(_own));
    }

    /// <summary>Writes what changed since the last call to disk.</summary>
    /// <returns>False: there was nothing to write.</returns>
    /// <exception cref="IOException">It cannot be written.</exception>
    public bool Save()
    {
        Change[] changes;
        long revision;
        string mark;
        lock (_lock)
        {
            if (_revision == _saved) return false;
            (revision, mark) = (_revision, _mark);
            changes = [.. _changes.Values];
        }
        // Messages of one type that follow each other are one that has all of their fields: none is as large as the whole.
        DurableFile.Write(_path, file =>
        {
            new WatchResponse { Revision = revision, Mark = mark, Reset = true }.WriteTo(file);
            foreach (Change[] part in changes.Chunk(ChangesWrittenTogether)) new WatchResponse { Changes = { part } }.WriteTo(file);
        });
        lock (_lock) _saved = revision;
        return true;
    }

    private void Apply(WatchResponse part)
    {
        if (_revision == _saved) _unsavedSince = Environment.TickCount64;
        _changedAt = Environment.TickCount64;
        _isRestored |= part.Restored;
        if (part.Reset)
        {
            _changes.Clear();
            _own.Clear();
            _strange.Clear();
            _ownView = null;
        }
        foreach (Change change in part.Changes)
        {
            if (ToldChange.IsDeletion(change)) _changes.Remove(change.Key);
            else _changes[change.Key] = change;
            _strange.Remove(change.Key);
            if (ToldChange.Problem(change) is { } problem) _strange.Add(change.Key, problem);
            if (!_strange.ContainsKey(change.Key) && IsOwn(change)) _own[change.Key] = change;
            else if (!_own.Remove(change.Key)) continue;
            _ownView = null;
        }
        (_revision, _mark) = (part.Revision, part.Mark);
        _view = null;
    }

    private bool IsOwn(Change change) => change.ValueCase switch
    {
        Change.ValueOneofCase.Network or Change.ValueOneofCase.Reservation or Change.ValueOneofCase.Wish => true,
        Change.ValueOneofCase.Node => change.Node.Name == _node,
        // Any part that is lent, as it may lie in a block of this node's.
        Change.ValueOneofCase.Block => change.Block.Holder == _node || change.Block.LentBy.Length > 0,
        _ => false,
    };
}

/// <summary>What the controllers told, at one revision. Immutable.</summary>
internal sealed class ControlView(long revision, IReadOnlyDictionary<string, Change> changes)
{
    public long Revision { get; } = revision;

    public IEnumerable<Change> All => changes.Values;

    public IEnumerable<Network> Networks => All.Where(each => each.ValueCase == Change.ValueOneofCase.Network).Select(each => each.Network);

    public IEnumerable<Rpc.Control.Node> Nodes => All.Where(each => each.ValueCase == Change.ValueOneofCase.Node).Select(each => each.Node);

    public IEnumerable<Block> Blocks => All.Where(each => each.ValueCase == Change.ValueOneofCase.Block).Select(each => each.Block);

    public IEnumerable<Reservation> Reservations => All.Where(each => each.ValueCase == Change.ValueOneofCase.Reservation).Select(each => each.Reservation);

    public IEnumerable<Wish> Wishes => All.Where(each => each.ValueCase == Change.ValueOneofCase.Wish).Select(each => each.Wish);

    public IEnumerable<StaticRoute> Routes => All.Where(each => each.ValueCase == Change.ValueOneofCase.Route).Select(each => each.Route);

    public Rpc.Control.Node? Node(string name) => changes.GetValueOrDefault($"state/nodes/{name}")?.Node;
}
