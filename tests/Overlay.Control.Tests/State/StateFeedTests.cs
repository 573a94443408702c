using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;
using Overlay.Control.Tests.Stores;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;

namespace Overlay.Control.Tests.State;

/// <summary>What watchers of the state are told, against the store that it comes from.</summary>
public sealed class StateFeedTests : IClassFixture<SqliteLab>
{
    private const int Nodes = 40;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly SqliteLab _lab;

    public StateFeedTests(SqliteLab lab)
    {
        _lab = lab;
        lab.NextFile();
    }

    /// <summary>Watchers that read slowly, hang up and come back at the revision that they know end with the state of the store, and are told nothing twice.</summary>
    [Fact]
    public async Task WatchAsync_WatchersThatLagAndComeBackWhileTheStateChanges_EndWithTheStoresState()
    {
        int seed = Random.Shared.Next();
        using var deadline = new CancellationTokenSource(Deadline);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token);
        await using IControlStore store = _lab.Open();
        StateCache cache = await FollowAsync(store, end.Token);
        var random = new Random(seed);
        Watcher[] watchers = [.. Enumerable.Range(0, 12).Select(i => new Watcher(cache, new Random(seed + 1 + i)))];
        Task[] watching = [.. watchers.Select(watcher => watcher.RunAsync(end.Token))];

        long last = 0;
        for (int step = 0; step < 400; step++)
        {
            last = await ChangeAsync(store, random, step, end.Token);
            if (random.Next(40) == 0) await Task.Delay(random.Next(60), end.Token);
        }
        await Task.WhenAll(watchers.Select(watcher => watcher.ReachAsync(last, deadline.Token)));
        StoreRange range = (await store.ReadAsync(StateKeys.State, null, deadline.Token))!;
        await end.CancelAsync();
        await Task.WhenAll(watching);

        string[] expected = [.. range.Entries.Select(entry => $"{entry.Key} {StateDocuments.Node(entry).Generation}")];
        foreach (Watcher watcher in watchers) Assert.True(expected.SequenceEqual(watcher.Known), $"seed {seed}: {string.Join(", ", expected.Except(watcher.Known))} is not known");
        Assert.Equal((seed, 0), (seed, watchers.Sum(watcher => watcher.Repeated)));
    }

    [Fact]
    public async Task WatchAsync_ManyWatchersOfOneRevision_ShareWhatIsEncoded()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await using IControlStore store = _lab.Open();
        StateCache cache = await FollowAsync(store, deadline.Token);
        await ChangeAsync(store, new Random(1), 1, deadline.Token);
        IAsyncEnumerator<GrpcFrame<WatchResponse>>[] watchers =
            [.. Enumerable.Range(0, 5).Select(_ => cache.Feed.WatchAsync(0, deadline.Token).GetAsyncEnumerator(deadline.Token))];

        foreach (IAsyncEnumerator<GrpcFrame<WatchResponse>> each in watchers) Assert.True(await each.MoveNextAsync());
        GrpcFrame<WatchResponse>[] whole = [.. watchers.Select(each => each.Current)];
        ValueTask<bool>[] waiting = [.. watchers.Select(each => each.MoveNextAsync())];
        await PutAsync(store, 7, 1000, deadline.Token);
        foreach (ValueTask<bool> each in waiting) Assert.True(await each);

        Assert.All(whole, frame => Assert.Same(whole[0], frame));
        Assert.All(watchers, each => Assert.Same(watchers[0].Current, each.Current));
        Assert.Equal(StateKeys.Node("n7"), watchers[0].Current.Decode(WatchResponse.Parser).Changes.Single().Key);
    }

    private static async Task<StateCache> FollowAsync(IControlStore store, CancellationToken end)
    {
        var cache = new StateCache();
        var ready = new TaskCompletionSource();
        _ = Task.Run(async () => await cache.FollowAsync(store, () => ready.TrySetResult(), end), CancellationToken.None);
        await ready.Task.WaitAsync(end);
        return cache;
    }

    private static async Task<long> ChangeAsync(IControlStore store, Random random, int step, CancellationToken end)
    {
        int node = random.Next(Nodes);
        if (random.Next(4) > 0) return await PutAsync(store, node, step, end);
        return (await store.CommitAsync(new StoreTransaction().Delete(StateKeys.Node($"n{node}")), end)).Revision;
    }

    private static async Task<long> PutAsync(IControlStore store, int node, int generation, CancellationToken end)
    {
        var document = new NodeDocument($"n{node}", "machine", generation, ["192.0.2.1"], "02:00:00:00:00:01", null, new Dictionary<string, string>());
        return (await store.CommitAsync(new StoreTransaction().Put(StateKeys.Node(document.Name), StateDocuments.Encode(document)), end)).Revision;
    }

    private sealed class Watcher(StateCache cache, Random random)
    {
        private readonly SortedDictionary<string, Change> _known = new(StringComparer.Ordinal);
        private readonly Lock _lock = new();
        private long _revision;

        /// <summary>Messages of revisions that were known already.</summary>
        public int Repeated { get; private set; }

        public IEnumerable<string> Known => _known.Select(each => $"{each.Key} {each.Value.Node.Generation}");

        public async Task RunAsync(CancellationToken end)
        {
            while (!end.IsCancellationRequested)
            {
                int left = random.Next(1, 12);
                try
                {
                    await foreach (GrpcFrame<WatchResponse> frame in cache.Feed.WatchAsync(_revision, end))
                    {
                        Take(frame.Decode(WatchResponse.Parser));
                        if (--left == 0) break;
                        await Task.Delay(random.Next(8), end);
                    }
                }
                catch (OperationCanceledException)
                {
                    return;
                }
            }
        }

        public async Task ReachAsync(long revision, CancellationToken deadline)
        {
            // A deletion of what is not there makes no revision of its own.
            while (Volatile.Read(ref _revision) < revision) await Task.Delay(10, deadline);
        }

        private void Take(WatchResponse response)
        {
            lock (_lock)
            {
                if (response.Reset) _known.Clear();
                else if (response.Revision <= _revision) Repeated++;
                foreach (Change change in response.Changes)
                {
                    if (change.ValueCase == Change.ValueOneofCase.None) _known.Remove(change.Key);
                    else _known[change.Key] = change;
                }
                Volatile.Write(ref _revision, response.Revision);
            }
        }
    }
}
