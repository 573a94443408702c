using Google.Protobuf;
using Overlay.Rpc.Control;

namespace Overlay.Agent.Control;

/// <summary>
/// What the controllers told last, in memory and on disk, so that a daemon that starts while they are away goes on with it. Used by any thread.
/// </summary>
internal sealed class ControlState
{
    private readonly Lock _lock = new();
    private readonly string _path;
    private readonly List<WatchResponse> _parts = [];
    private Dictionary<string, Change> _changes = [];
    private long _revision;
    private long _saved;

    /// <exception cref="StartRefusedException">The file is there and cannot be read.</exception>
    public ControlState(string folder)
    {
        _path = Path.Combine(folder, "network.state");
        try
        {
            if (!File.Exists(_path)) return;
            WatchResponse whole = WatchResponse.Parser.ParseFrom(File.ReadAllBytes(_path));
            _changes = whole.Changes.ToDictionary(change => change.Key);
            _revision = _saved = whole.Revision;
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

    /// <summary>Takes one message of a watch.</summary>
    /// <returns>True when it was the last of its revision, and something changed.</returns>
    public bool Take(WatchResponse part)
    {
        lock (_lock)
        {
            if (part.Reset) _parts.Clear();
            _parts.Add(part);
            if (part.More) return false;
            Dictionary<string, Change> changes = _parts[0].Reset ? [] : new(_changes);
            foreach (Change change in _parts.SelectMany(each => each.Changes))
            {
                if (change.ValueCase == Change.ValueOneofCase.None) changes.Remove(change.Key);
                else changes[change.Key] = change;
            }
            _parts.Clear();
            _changes = changes;
            _revision = part.Revision;
            return true;
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
        lock (_lock) return new ControlView(_revision, _changes);
    }

    /// <summary>Writes what changed since the last call to disk.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Save()
    {
        ControlView view = View();
        if (view.Revision == _saved) return;
        var whole = new WatchResponse { Revision = view.Revision, Reset = true, Changes = { view.All } };
        DurableFile.Write(_path, whole.ToByteArray());
        _saved = view.Revision;
    }
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

    public IEnumerable<StaticRoute> Routes => All.Where(each => each.ValueCase == Change.ValueOneofCase.Route).Select(each => each.Route);

    public Rpc.Control.Node? Node(string name) => changes.GetValueOrDefault($"state/nodes/{name}")?.Node;
}
