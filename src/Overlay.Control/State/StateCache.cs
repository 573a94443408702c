using System.Net;
using System.Text.Json;
using Overlay.Control.Model;
using Overlay.Control.Stores;
using Overlay.Rpc.Control;

namespace Overlay.Control.State;

/// <summary>
/// The state of the network as a watch of the store tells it, with what changed lately. Used by any thread. It may be behind the store;
/// who changes something on its ground demands in the transaction that it is not.
/// </summary>
public sealed class StateCache
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, StoreEntry> _entries = [];
    private readonly Dictionary<string, Change> _messages = [];
    private readonly Dictionary<string, NetworkDocument> _networks = [];
    private readonly Dictionary<string, NodeDocument> _nodes = [];
    private readonly Dictionary<string, Dictionary<IPNetwork, (BlockDocument Document, long Revision)>> _blocks = [];
    private readonly PriorityQueue<TaskCompletionSource, long> _waiting = new();
    private readonly StateFeed _feed;
    private long _revision;
    private long _blocksForgotten;

    /// <summary>With its revision; null: there is none. Read without the lock, as the feed asks for it with its own.</summary>
    private volatile Tuple<HistoryDocument, long>? _history;

    public StateCache() => _feed = new StateFeed(this);

    /// <summary>What watchers are told.</summary>
    public StateFeed Feed => _feed;

    public long Revision
    {
        get
        {
            lock (_lock) return _revision;
        }
    }

    /// <summary>How often a block ceased to be known, as its network was deleted or the store went back.</summary>
    public long BlocksForgotten
    {
        get
        {
            lock (_lock) return _blocksForgotten;
        }
    }

    /// <summary>The mark of the history that was in force at a revision; empty: none is known.</summary>
    public string MarkAt(long revision) => _history is not var (history, since) ? ""
        : revision >= since ? history.Mark
        : history.Earlier.FirstOrDefault(each => each.From <= revision)?.Mark ?? "";

    /// <summary>An entry of the store, or null.</summary>
    public StoreEntry? Find(string key)
    {
        lock (_lock) return _entries.GetValueOrDefault(key);
    }

    /// <summary>Entries whose keys begin with a prefix, in no order.</summary>
    public IReadOnlyList<StoreEntry> List(string prefix)
    {
        lock (_lock) return [.. _entries.Values.Where(entry => entry.Key.StartsWith(prefix, StringComparison.Ordinal))];
    }

    public NetworkDocument? Network(string name)
    {
        lock (_lock) return _networks.GetValueOrDefault(name);
    }

    public IReadOnlyList<NetworkDocument> Networks
    {
        get
        {
            lock (_lock) return [.. _networks.Values.OrderBy(network => network.Name, StringComparer.Ordinal)];
        }
    }

    public NodeDocument? Node(string name)
    {
        lock (_lock) return _nodes.GetValueOrDefault(name);
    }

    public IReadOnlyList<NodeDocument> Nodes
    {
        get
        {
            lock (_lock) return [.. _nodes.Values.OrderBy(node => node.Name, StringComparer.Ordinal)];
        }
    }

    /// <summary>The blocks of a network that a node holds, or null for any holder, in no order.</summary>
    public IReadOnlyList<BlockDocument> Blocks(string network, string? node = null)
    {
        lock (_lock)
        {
            if (!_blocks.TryGetValue(network, out var blocks)) return [];
            return [.. blocks.Values.Select(block => block.Document).Where(block => node is null || block.Holder == node)];
        }
    }

    /// <summary>Looks at the blocks of a network while nothing changes.</summary>
    public T WithBlocks<T>(string network, Func<IReadOnlyDictionary<IPNetwork, (BlockDocument Document, long Revision)>, T> look)
    {
        lock (_lock) return look(_blocks.TryGetValue(network, out var blocks) ? blocks : new Dictionary<IPNetwork, (BlockDocument, long)>());
    }

    /// <summary>Ends when a revision in which the state changed is known here.</summary>
    public Task WaitAsync(long revision, CancellationToken cancellation)
    {
        lock (_lock)
        {
            if (_revision >= revision) return Task.CompletedTask;
            var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Enqueue(reached, revision);
            return reached.Task.WaitAsync(cancellation);
        }
    }

    /// <summary>Follows a store until cancelled. Throws <see cref="StoreException"/> when the watch breaks; the state stays, and may be followed anew.</summary>
    /// <param name="ready">Called each time the state is whole.</param>
    public async Task FollowAsync(IControlStore store, Action ready, CancellationToken cancellation)
    {
        while (true)
        {
            StoreRange range = (await store.ReadAsync(StateKeys.State, null, cancellation).ConfigureAwait(false))!;
            Reset(range);
            ready();
            await foreach (StoreChange change in store.WatchAsync(StateKeys.State, range.Revision, cancellation).ConfigureAwait(false))
            {
                if (ReferenceEquals(change, StoreChange.StartOver)) break;
                Apply(change.Revision, [.. change.Events.Select(each => (each.Key, each.Entry))]);
            }
        }
    }

    /// <summary>Takes over everything as it is now. What did not change is no change to watchers.</summary>
    internal void Reset(StoreRange range)
    {
        var changed = new List<(string Key, StoreEntry? Entry)>();
        bool isBack;
        lock (_lock)
        {
            isBack = range.Revision < _revision;
            var now = range.Entries.Select(entry => entry.Key).ToHashSet();
            changed.AddRange(_entries.Keys.Where(key => !now.Contains(key)).Select(key => (key, (StoreEntry?)null)));
            changed.AddRange(range.Entries
                .Where(entry => !_entries.TryGetValue(entry.Key, out StoreEntry? known) || known.Revision != entry.Revision || !known.Value.Span.SequenceEqual(entry.Value.Span))
                .Select(entry => (entry.Key, (StoreEntry?)entry)));
        }
        Apply(range.Revision, changed);
        if (isBack) _feed.Forget(range.Revision);
    }

    private void Apply(long revision, List<(string Key, StoreEntry? Entry)> events)
    {
        var reached = new List<TaskCompletionSource>();
        var changes = new Change[events.Count];
        for (int i = 0; i < changes.Length; i++) changes[i] = Read(events[i].Key, events[i].Entry);
        lock (_lock)
        {
            for (int i = 0; i < changes.Length; i++) Put(events[i].Key, events[i].Entry, changes[i]);
            _revision = revision;
            while (_waiting.TryPeek(out _, out long wanted) && wanted <= revision) reached.Add(_waiting.Dequeue());
            _feed.Add(revision, [.. changes.Where(change => change.Key != StateKeys.History)]);
        }
        foreach (TaskCompletionSource each in reached) each.TrySetResult();
    }

    /// <exception cref="StoreException">It is none of ours: somebody changed it by hand, or it is damaged.</exception>
    private static Change Read(string key, StoreEntry? entry)
    {
        try
        {
            if (entry is not null) StateKeys.Check(key);
            return StateMessages.Of(key, entry);
        }
        catch (Exception error) when (error is JsonException or FormatException or ArgumentException or NullReferenceException)
        {
            // A document that lacks a member has null in its place, and so has one that is "null" itself.
            throw new StoreException($"the entry '{key}' of the store cannot be read: it was changed by hand or is damaged ({error.Message}); write it as it was, delete it, or restore a backup", cause: error);
        }
    }

    private void Put(string key, StoreEntry? entry, Change change)
    {
        string[] parts = key.Split('/');
        if (entry is null)
        {
            // One that could not be read is gone now, too.
            if (!_entries.Remove(key)) return;
            _messages.Remove(key);
        }
        else
        {
            _entries[key] = entry;
            if (key != StateKeys.History) _messages[key] = change;
        }
        switch (parts[1])
        {
            case "history":
                _history = entry is null ? null : Tuple.Create(StateDocuments.History(entry), entry.Revision);
                break;
            case "networks" when entry is null:
                _networks.Remove(parts[2]);
                break;
            case "networks":
                _networks[parts[2]] = StateDocuments.Network(entry);
                break;
            case "nodes" when entry is null:
                _nodes.Remove(parts[2]);
                break;
            case "nodes":
                _nodes[parts[2]] = StateDocuments.Node(entry);
                break;
            case "blocks":
                if (!_blocks.TryGetValue(parts[2], out var blocks)) _blocks[parts[2]] = blocks = [];
                IPNetwork prefix = IPNetwork.Parse(parts[3].Replace('-', '/'));
                if (entry is null) _blocksForgotten += blocks.Remove(prefix) ? 1 : 0;
                else blocks[prefix] = (StateDocuments.Block(entry), entry.Revision);
                break;
        }
    }

    /// <summary>Everything there is, as messages; for the feed.</summary>
    internal (long Revision, IReadOnlyList<Change> All) Everything()
    {
        lock (_lock) return (_revision, [.. _messages.Values]);
    }
}
