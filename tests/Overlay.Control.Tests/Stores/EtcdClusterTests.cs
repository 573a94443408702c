using System.Globalization;
using Overlay.Control.Stores;
using Overlay.Control.Stores.Etcd;
using Overlay.Testing;
using static Overlay.Control.Tests.Stores.StoreLab;

namespace Overlay.Control.Tests.Stores;

public sealed class EtcdClusterTests : IAsyncLifetime, IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(90);

    private readonly CancellationTokenSource _deadline = new(Deadline);
    private EtcdMember[] _members = [];

    public async Task InitializeAsync() => _members = await EtcdMember.StartAsync(3);

    public Task DisposeAsync()
    {
        foreach (EtcdMember member in _members) member.Dispose();
        return Task.CompletedTask;
    }

    public void Dispose() => _deadline.Dispose();

    /// <summary>
    /// Increments that depend on nothing: one that was applied twice, or said to have failed and was applied, would show in the sum.
    /// </summary>
    [Fact]
    public async Task CommitAsync_LeaderKilledUnderLoad_AppliesEachTransactionOnce()
    {
        int seed = Random.Shared.Next();
        IControlStore[] stores = [.. _members.Select((_, i) => new EtcdStore(new EtcdOptions
        {
            Endpoints = [.. _members.Skip(i).Concat(_members.Take(i)).Select(member => member.Client)],
            Prefix = "cluster/",
            RequestDeadline = TimeSpan.FromSeconds(1),
            CallDeadline = TimeSpan.FromSeconds(45),
        }))];
        using var stop = new CancellationTokenSource();
        int applied = 0;
        Task<int>[] workers = [.. Enumerable.Range(0, 12).Select(i => AppendAsync(stores[i % 3], i, () => Interlocked.Increment(ref applied), stop.Token))];

        for (int round = 0; round < 2; round++)
        {
            int before = Volatile.Read(ref applied);
            await UntilAsync(() => Volatile.Read(ref applied) > before + 200);
            EtcdMember leader = await EtcdMember.LeaderAsync(_members, _deadline.Token);
            leader.Kill();
            int killed = Volatile.Read(ref applied);
            await UntilAsync(() => Volatile.Read(ref applied) > killed + 200);
            leader.Start();
        }
        await stop.CancelAsync();
        int[] counts = await Task.WhenAll(workers);

        StoreRange range = (await stores[0].ReadAsync("log/", null, _deadline.Token))!;
        for (int worker = 0; worker < counts.Length; worker++)
        {
            string prefix = string.Create(CultureInfo.InvariantCulture, $"log/{worker}/");
            int entries = range.Entries.Count(entry => entry.Key.StartsWith(prefix, StringComparison.Ordinal));
            Assert.True(entries == counts[worker], $"seed {seed}: worker {worker} appended {counts[worker]} times, {entries} are there");
            Assert.All(
                range.Entries.Where(entry => entry.Key.StartsWith(prefix, StringComparison.Ordinal)),
                entry => Assert.Equal(entry.Created, entry.Revision));
        }
        foreach (IControlStore store in stores) await store.DisposeAsync();
    }

    /// <summary>Puts without a condition: a second application would change the key's revision.</summary>
    private async Task<int> AppendAsync(IControlStore store, int worker, Action applied, CancellationToken stop)
    {
        int count = 0;
        while (!stop.IsCancellationRequested)
        {
            string key = string.Create(CultureInfo.InvariantCulture, $"log/{worker}/{count:d6}");
            CommitResult result = await store.CommitAsync(new StoreTransaction().Put(key, Bytes(key)), _deadline.Token);
            Assert.True(result.IsCommitted);
            count++;
            applied();
        }
        return count;
    }

    private async Task UntilAsync(Func<bool> condition)
    {
        while (!condition()) await Task.Delay(10, _deadline.Token);
    }
}
