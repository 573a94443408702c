using System.Globalization;
using Overlay.Control.Stores;
using static Overlay.Control.Tests.Stores.StoreLab;

namespace Overlay.Control.Tests.Stores;

/// <summary>What every store promises.</summary>
public abstract class StoreConformance(StoreLab lab) : IAsyncLifetime, IDisposable
{
    protected static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly CancellationTokenSource _deadline = new(Deadline);

    protected CancellationToken End => _deadline.Token;

    protected IControlStore Store { get; private set; } = null!;

    public Task InitializeAsync()
    {
        Store = lab.Open();
        return Task.CompletedTask;
    }

    public Task DisposeAsync() => Store.DisposeAsync().AsTask();

    public void Dispose()
    {
        _deadline.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task CommitAsync_KeysThatAreAbsent_AreCreatedInOneRevision()
    {
        CommitResult result = await PutAsync(("a/1", "one"), ("a/2", "two"));

        StoreRange range = (await Store.ReadAsync("a/", null, End))!;
        Assert.True(result.IsCommitted);
        Assert.Equal(["a/1", "a/2"], range.Entries.Select(entry => entry.Key));
        Assert.All(range.Entries, entry => Assert.Equal((result.Revision, result.Revision), (entry.Created, entry.Revision)));
        Assert.True(range.Revision >= result.Revision);
    }

    [Fact]
    public async Task CommitAsync_ConditionThatDoesNotHold_WritesNothing()
    {
        CommitResult first = await PutAsync(("a", "1"));
        await Store.CommitAsync(new StoreTransaction().Require("a", first.Revision).Put("a", Bytes("2")), End);

        CommitResult stale = await Store.CommitAsync(new StoreTransaction().Require("a", first.Revision).Put("a", Bytes("3")).Put("b", Bytes("3")), End);
        CommitResult exists = await Store.CommitAsync(new StoreTransaction().RequireAbsent("a").Delete("a"), End);

        Assert.Equal((CommitStatus.Conflict, CommitStatus.Conflict), (stale.Status, exists.Status));
        StoreEntry only = Assert.Single((await Store.ReadAsync("a", null, End))!.Entries);
        Assert.Equal(("2", first.Revision), (Text(only), only.Created));
        Assert.Empty((await Store.ReadAsync("b", null, End))!.Entries);
    }

    [Fact]
    public async Task ReadAsync_EarlierRevision_ShowsWhatWasThen()
    {
        CommitResult first = await PutAsync(("a", "1"), ("ab", "x"));
        await Store.CommitAsync(new StoreTransaction().Delete("a").Put("b", Bytes("2")), End);

        StoreRange then = (await Store.ReadAsync("a", first.Revision, End))!;
        StoreRange now = (await Store.ReadAsync("a", null, End))!;

        Assert.Equal(["1", "x"], then.Entries.Select(Text));
        Assert.Equal(first.Revision, then.Revision);
        Assert.Equal(["x"], now.Entries.Select(Text));
    }

    [Fact]
    public async Task WatchAsync_ResumedAtARevision_YieldsWhatCameAfterAndThenWhatComes()
    {
        CommitResult first = await PutAsync(("w/1", "1"));
        CommitResult second = await PutAsync(("w/2", "2"), ("x", "-"));
        CommitResult third = await Store.CommitAsync(new StoreTransaction().Delete("w/1").Put("w/2", Bytes("3")), End);

        await using IAsyncEnumerator<StoreChange> watch = Store.WatchAsync("w/", first.Revision, End).GetAsyncEnumerator(End);
        StoreChange missed = await NextAsync(watch);
        StoreChange deleted = await NextAsync(watch);
        ValueTask<bool> next = watch.MoveNextAsync();
        CommitResult fourth = await PutAsync(("w/4", "4"));
        await next;

        Assert.Equal((second.Revision, "w/2"), (missed.Revision, Assert.Single(missed.Events).Key));
        Assert.Equal(third.Revision, deleted.Revision);
        Assert.Equal([("w/1", null), ("w/2", "3")], deleted.Events.OrderBy(each => each.Key).Select(Shown));
        Assert.Equal((fourth.Revision, ("w/4", "4")), (watch.Current.Revision, Shown(Assert.Single(watch.Current.Events))));
    }

    [Fact]
    public async Task WatchAsync_ChangesCompactedAway_SaysThatItMustStartOver()
    {
        CommitResult first = await PutAsync(("c", "1"));
        await PutAsync(("c", "2"));
        CommitResult third = await Store.CommitAsync(new StoreTransaction().Delete("c"), End);
        await Store.CompactAsync(third.Revision, End);
        await Store.CompactAsync(third.Revision, End);

        await using IAsyncEnumerator<StoreChange> stale = Store.WatchAsync("c", first.Revision, End).GetAsyncEnumerator(End);
        await using IAsyncEnumerator<StoreChange> last = Store.WatchAsync("c", third.Revision - 1, End).GetAsyncEnumerator(End);
        await using IAsyncEnumerator<StoreChange> current = Store.WatchAsync("c", third.Revision, End).GetAsyncEnumerator(End);

        Assert.Same(StoreChange.StartOver, await NextAsync(stale));
        Assert.False(await stale.MoveNextAsync());
        Assert.Same(StoreChange.StartOver, await NextAsync(last));
        Assert.Null(await Store.ReadAsync("c", first.Revision, End));
        Assert.Empty((await Store.ReadAsync("c", third.Revision, End))!.Entries);
        CommitResult fourth = await PutAsync(("c", "4"));
        Assert.Equal(fourth.Revision, (await NextAsync(current)).Revision);
    }

    [Fact]
    public async Task WatchAsync_RevisionLostToARestoredBackup_SaysThatItMustStartOver()
    {
        CommitResult only = await PutAsync(("b", "1"));
        long lost = only.Revision + 1000;

        await using IAsyncEnumerator<StoreChange> watch = Store.WatchAsync("b", lost, End).GetAsyncEnumerator(End);

        Assert.Same(StoreChange.StartOver, await NextAsync(watch));
        await Assert.ThrowsAsync<StoreException>(() => Store.ReadAsync("b", lost, End));
    }

    [Fact]
    public async Task GrantLeaseAsync_NotRenewed_ItsKeysAreDeletedAndWatchersTold()
    {
        long lease = await Store.GrantLeaseAsync(TimeSpan.FromSeconds(2), End);
        long kept = await Store.GrantLeaseAsync(TimeSpan.FromSeconds(60), End);
        CommitResult put = await Store.CommitAsync(
            new StoreTransaction().Put("l/1", Bytes("1"), lease).Put("l/2", Bytes("2"), lease).Put("l/3", Bytes("3"), kept), End);

        await using IAsyncEnumerator<StoreChange> watch = Store.WatchAsync("l/", put.Revision, End).GetAsyncEnumerator(End);
        var gone = new List<StoreEvent>();
        while (gone.Count < 2) gone.AddRange((await NextAsync(watch)).Events);

        Assert.Equal([("l/1", null), ("l/2", null)], gone.OrderBy(each => each.Key).Select(Shown));
        Assert.False(await Store.RenewLeaseAsync(lease, End));
        Assert.True(await Store.RenewLeaseAsync(kept, End));
        Assert.Equal(
            CommitStatus.LeaseGone, (await Store.CommitAsync(new StoreTransaction().Put("l/1", Bytes("x"), lease), End)).Status);
        await Store.RevokeLeaseAsync(kept, End);
        await Store.RevokeLeaseAsync(kept, End);
        Assert.Empty((await Store.ReadAsync("l/", null, End))!.Entries);
    }

    [Fact]
    public async Task CommitAsync_KeyPutAgainWithoutItsLease_OutlivesIt()
    {
        long lease = await Store.GrantLeaseAsync(TimeSpan.FromSeconds(60), End);
        await Store.CommitAsync(new StoreTransaction().Put("k", Bytes("1"), lease), End);
        await PutAsync(("k", "2"));

        await Store.RevokeLeaseAsync(lease, End);

        Assert.Equal("2", Text(Assert.Single((await Store.ReadAsync("k", null, End))!.Entries)));
    }

    /// <summary>
    /// Instances, as of so many processes, count up shared keys while watchers that break off and resume follow; some of the history is
    /// compacted away under them.
    /// </summary>
    [Fact]
    public async Task CommitAsync_ManyInstancesAtOnce_NothingIsLostAndWatchersMissNothing()
    {
        int seed = Random.Shared.Next();
        IControlStore[] instances = [lab.Open(), lab.Open(), lab.Open()];
        using var done = new CancellationTokenSource();
        Task<Dictionary<string, int>>[] watchers = [.. instances.Select((store, i) => FollowAsync(store, new Random(seed + i), done.Token))];

        int[] counted = await Task.WhenAll(Enumerable.Range(0, 12).Select(i => CountAsync(instances[i % 3], new Random(seed - 1 - i), 40)));
        StoreRange last = (await Store.ReadAsync("n/", null, End))!;
        await PutAsync(("n/end", last.Revision.ToString(CultureInfo.InvariantCulture)));
        Dictionary<string, int>[] seen = await Task.WhenAll(watchers).WaitAsync(Deadline);

        Dictionary<string, int> held = last.Entries.ToDictionary(entry => entry.Key, entry => int.Parse(Text(entry), CultureInfo.InvariantCulture));
        Assert.True(counted.Sum() == held.Values.Sum(), $"seed {seed}: {counted.Sum()} commits said done, {held.Values.Sum()} are there");
        foreach (Dictionary<string, int> view in seen)
            Assert.True(held.OrderBy(each => each.Key).SequenceEqual(view.OrderBy(each => each.Key)), $"seed {seed}: a watcher's view differs");
        foreach (IControlStore instance in instances) await instance.DisposeAsync();
    }

    /// <returns>How often it counted a key up.</returns>
    protected async Task<int> CountAsync(IControlStore store, Random random, int times)
    {
        int done = 0;
        while (done < times)
        {
            string key = $"n/{random.Next(5)}";
            StoreRange range = (await store.ReadAsync(key, null, End))!;
            StoreEntry? entry = range.Entries is [var found, ..] ? found : null;
            int value = entry is null ? 0 : int.Parse(Text(entry), CultureInfo.InvariantCulture);
            StoreTransaction next = new StoreTransaction().Require(key, entry?.Revision ?? 0)
                .Put(key, Bytes((value + 1).ToString(CultureInfo.InvariantCulture)));
            CommitResult result = await store.CommitAsync(next, End);
            if (result.IsCommitted) done++;
            if (random.Next(20) == 0) await store.CompactAsync(range.Revision, End);
        }
        return done;
    }

    /// <returns>What it has seen when the key "n/end" came.</returns>
    protected async Task<Dictionary<string, int>> FollowAsync(IControlStore store, Random random, CancellationToken cancellation)
    {
        var view = new Dictionary<string, int>();
        long revision = -1;
        while (true)
        {
            if (revision < 0)
            {
                StoreRange all = (await store.ReadAsync("n/", null, cancellation))!;
                revision = all.Revision;
                view = all.Entries.ToDictionary(entry => entry.Key, entry => int.Parse(Text(entry), CultureInfo.InvariantCulture));
                if (view.Remove("n/end")) return view;
            }
            int left = random.Next(1, 30);
            await foreach (StoreChange change in store.WatchAsync("n/", revision, End).WithCancellation(cancellation))
            {
                if (change == StoreChange.StartOver)
                {
                    revision = -1;
                    break;
                }
                Assert.True(change.Revision > revision, "a revision came again");
                revision = change.Revision;
                foreach (StoreEvent each in change.Events)
                {
                    if (each.Key == "n/end") return view;
                    int value = int.Parse(Text(each.Entry!), CultureInfo.InvariantCulture);
                    Assert.Equal(view.GetValueOrDefault(each.Key) + 1, value);
                    view[each.Key] = value;
                }
                if (--left == 0) break;
            }
        }
    }

    protected Task<CommitResult> PutAsync(params (string Key, string Value)[] entries)
    {
        var transaction = new StoreTransaction();
        foreach ((string key, string value) in entries) transaction.Put(key, Bytes(value));
        return Store.CommitAsync(transaction, End);
    }

    private static async Task<StoreChange> NextAsync(IAsyncEnumerator<StoreChange> watch)
    {
        Assert.True(await watch.MoveNextAsync());
        return watch.Current;
    }

    private static (string Key, string? Value) Shown(StoreEvent each) => (each.Key, each.Entry is { } entry ? Text(entry) : null);
}
