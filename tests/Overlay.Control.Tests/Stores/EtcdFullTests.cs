using System.Collections.Concurrent;
using System.Globalization;
using Overlay.Control.Stores;
using Overlay.Control.Stores.Etcd;
using Overlay.Testing;
using static Overlay.Control.Tests.Stores.StoreLab;

namespace Overlay.Control.Tests.Stores;

/// <summary>An etcd whose quota is used up.</summary>
public sealed class EtcdFullTests
{
    private const int Workers = 16;
    private const int ValueBytes = 4000;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    /// <summary>
    /// A member that finds its quota used up while it applies a transaction refuses what it has applied: such ones are among those that are under way together.
    /// </summary>
    [Fact]
    public async Task CommitAsync_SpaceRunsOutUnderLoad_WhatIsRefusedIsNotThereAndWhatIsTakenIs()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        using EtcdMember etcd = (await EtcdMember.StartAsync(1, quotaBytes: 2 << 20))[0];
        await using var store = new EtcdStore(new EtcdOptions { Endpoints = [etcd.Client] });
        var taken = new ConcurrentBag<string>();

        StoreException[] refused = await Task.WhenAll(Enumerable.Range(0, Workers).Select(AppendAsync));

        Assert.All(refused, each => Assert.False(each.IsOutcomeUnknown));
        Assert.All(refused, each => Assert.Contains($"etcd {etcd.Client.Authority} has no space left, and nothing was changed: ", each.Message, StringComparison.Ordinal));
        Assert.Equal(taken.Order(StringComparer.Ordinal), await KeysAsync());
        await Assert.ThrowsAsync<StoreException>(() => store.GrantLeaseAsync(TimeSpan.FromSeconds(5), deadline.Token));
        etcd.MakeRoom();
        CommitResult after = await store.CommitAsync(new StoreTransaction().RequireAbsent("log/after").Put("log/after", Bytes("x")), deadline.Token);
        Assert.True(after.IsCommitted);
        Assert.Equal(taken.Append("log/after").Order(StringComparer.Ordinal), await KeysAsync());

        async Task<StoreException> AppendAsync(int worker)
        {
            for (int i = 0; ; i++)
            {
                string key = string.Create(CultureInfo.InvariantCulture, $"log/{worker}/{i}");
                try
                {
                    Assert.True((await store.CommitAsync(new StoreTransaction().Put(key, new byte[ValueBytes]), deadline.Token)).IsCommitted);
                    taken.Add(key);
                }
                catch (StoreException exception)
                {
                    return exception;
                }
            }
        }

        async Task<IEnumerable<string>> KeysAsync() => (await store.ReadAsync("log/", null, deadline.Token))!.Entries.Select(entry => entry.Key);
    }
}
