using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Overlay.Control.Ipam;
using Overlay.Control.Model;
using Overlay.Control.Stores;
using Overlay.Control.Tests.Stores;

namespace Overlay.Control.Tests.Ipam;

/// <summary>Leases of blocks, on each store.</summary>
public abstract class BlockLeasesConformance(StoreLab lab)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);

    [Fact]
    public async Task LeaseAsync_PoolUsedUp_NamesPoolSizeHoldersAndRemedy()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await using IControlStore store = lab.Open();
        await SetUpAsync(store, "10.1.0.0/24", ["10.1.0.64/26"], ["a", "b"], deadline.Token);
        var leases = new BlockLeases(store);

        await leases.LeaseAsync("pods", "a", AddressFamily.InterNetwork, deadline.Token);
        BlockLease second = await leases.LeaseAsync("pods", "a", AddressFamily.InterNetwork, deadline.Token);
        await leases.LeaseAsync("pods", "b", AddressFamily.InterNetwork, deadline.Token);
        BlockLease refused = await leases.LeaseAsync("pods", "b", AddressFamily.InterNetwork, deadline.Token);

        Assert.Equal(BlockLeaseStatus.Exhausted, refused.Status);
        Assert.Equal(
            "every block of network 'pods' is leased: 10.1.0.0/24 (4 blocks of /26); largest holders: a 2, b 1; add a pool, or drain a node that needs fewer",
            refused.Problem);
        Assert.Equal(BlockReturnStatus.NotHeld, await leases.ReturnAsync("pods", "b", second.Block!.Value, deadline.Token));
        Assert.Equal(BlockReturnStatus.Returned, await leases.ReturnAsync("pods", "a", second.Block!.Value, deadline.Token));
        BlockLease again = await leases.LeaseAsync("pods", "b", AddressFamily.InterNetwork, deadline.Token);
        Assert.Equal(second.Block, again.Block);
        BlockDocument document = (await leases.HeldAsync("pods", "b", deadline.Token)).Single(block => block.Prefix == again.Block.ToString());
        Assert.Equal("a", Assert.Single(document.History).Node);
    }

    [Fact]
    public async Task LeaseAsync_IPv6PoolWithMostOfItExcluded_LeasesFromTheRest()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await using IControlStore store = lab.Open();
        await SetUpAsync(store, "fd00::/64", ["fd00::/65"], ["a"], deadline.Token);

        BlockLease lease = await new BlockLeases(store).LeaseAsync("pods", "a", AddressFamily.InterNetworkV6, deadline.Token);

        Assert.True(IPNetwork.Parse("fd00::8000:0:0:0/65").Contains(lease.Block!.Value.BaseAddress));
    }

    [Theory]
    [InlineData("other", "a", BlockLeaseStatus.NoSuchNetwork)]
    [InlineData("pods", "z", BlockLeaseStatus.NoSuchNode)]
    public async Task LeaseAsync_UnknownName_IsRefused(string network, string node, BlockLeaseStatus status)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await using IControlStore store = lab.Open();
        await SetUpAsync(store, "10.1.0.0/24", [], ["a"], deadline.Token);

        Assert.Equal(status, (await new BlockLeases(store).LeaseAsync(network, node, AddressFamily.InterNetwork, deadline.Token)).Status);
    }

    /// <summary>
    /// Fifty nodes lease and return at once through controllers that die before or after commits. No block has two holders, and what a
    /// node was told it holds, it holds, until it is told that it was returned.
    /// </summary>
    [Fact]
    public async Task LeaseAsync_FiftyNodesAtOnceWithCrashesAtCommits_NoBlockIsLeasedTwiceAndNoneIsLost()
    {
        int seed = Random.Shared.Next();
        using var deadline = new CancellationTokenSource(Deadline);
        await using IControlStore first = lab.Open();
        await using IControlStore second = lab.Open();
        string[] nodes = [.. Enumerable.Range(0, 50).Select(i => $"n{i}")];
        await SetUpAsync(first, "10.2.0.0/18", [], nodes, deadline.Token);
        IControlStore[] stores = [first, second];

        HashSet<IPNetwork>[] held = await Task.WhenAll(nodes.Select(
            (node, i) => LeaseAndReturnAsync(new CrashingStore(stores[i % 2], new Random(seed + i)), node, new Random(seed - i), deadline.Token)));

        StoreRange range = (await first.ReadAsync(StateKeys.Blocks("pods"), null, deadline.Token))!;
        Dictionary<IPNetwork, string> holders = range.Entries.Select(StateDocuments.Block).Where(block => block.Holder is not null)
            .ToDictionary(block => IPNetwork.Parse(block.Prefix), block => block.Holder!);
        for (int i = 0; i < nodes.Length; i++)
        {
            HashSet<IPNetwork> stored = [.. holders.Where(each => each.Value == nodes[i]).Select(each => each.Key)];
            Assert.True(stored.SetEquals(held[i]), $"seed {seed}: {nodes[i]} holds {string.Join(' ', held[i])}, the store says {string.Join(' ', stored)}");
        }
    }

    private static async Task<HashSet<IPNetwork>> LeaseAndReturnAsync(IControlStore store, string node, Random random, CancellationToken cancellation)
    {
        var leases = new BlockLeases(store);
        var held = new HashSet<IPNetwork>();
        for (int step = 0; step < 8; step++)
        {
            try
            {
                if (random.Next(3) > 0 || held.Count == 0)
                {
                    BlockLease lease = await leases.LeaseAsync("pods", node, AddressFamily.InterNetwork, cancellation);
                    Assert.Equal(BlockLeaseStatus.Leased, lease.Status);
                    Assert.True(held.Add(lease.Block!.Value));
                }
                else
                {
                    IPNetwork block = held.ElementAt(random.Next(held.Count));
                    Assert.Equal(BlockReturnStatus.Returned, await leases.ReturnAsync("pods", node, block, cancellation));
                    held.Remove(block);
                }
            }
            catch (StoreException)
            {
                // The controller died: whoever takes over tells what the node holds.
                leases = new BlockLeases(store);
                HashSet<IPNetwork> now = [.. (await leases.HeldAsync("pods", node, cancellation)).Select(block => IPNetwork.Parse(block.Prefix))];
                Assert.True(now.Except(held).Count() + held.Except(now).Count() <= 1);
                held = now;
            }
        }
        return held;
    }

    private static async Task SetUpAsync(IControlStore store, string pool, string[] excluded, string[] nodes, CancellationToken cancellation)
    {
        int length = pool.Contains(':', StringComparison.Ordinal) ? PoolDocument.DefaultIPv6BlockLength : PoolDocument.DefaultIPv4BlockLength;
        var network = new NetworkDocument("pods", 42, "vxlan", [new PoolDocument(pool, length, excluded)]);
        StoreTransaction transaction = new StoreTransaction().RequireAbsent(StateKeys.Network("pods"))
            .Put(StateKeys.Network("pods"), StateDocuments.Encode(network));
        foreach (string node in nodes)
        {
            var document = new NodeDocument(node, $"machine-{node}", 1, ["192.0.2.1"], "02:00:00:00:00:01", null, new Dictionary<string, string>());
            transaction.Put(StateKeys.Node(node), StateDocuments.Encode(document));
        }
        Assert.True((await store.CommitAsync(transaction, cancellation)).IsCommitted);
    }

    /// <summary>A store whose process dies at some commits: before the transaction, or after it and before the answer.</summary>
    private sealed class CrashingStore(IControlStore inner, Random random) : IControlStore
    {
        public string Name => inner.Name;

        public async Task<CommitResult> CommitAsync(StoreTransaction transaction, CancellationToken cancellation)
        {
            int fate = random.Next(8);
            if (fate == 0) throw new StoreException("died before the commit", isOutcomeUnknown: true);
            CommitResult result = await inner.CommitAsync(transaction, cancellation);
            return fate == 1 ? throw new StoreException("died after the commit", isOutcomeUnknown: true) : result;
        }

        public Task<StoreRange?> ReadAsync(string prefix, long? revision, CancellationToken cancellation) => inner.ReadAsync(prefix, revision, cancellation);

        public async IAsyncEnumerable<StoreChange> WatchAsync(string prefix, long after, [EnumeratorCancellation] CancellationToken cancellation)
        {
            await foreach (StoreChange change in inner.WatchAsync(prefix, after, cancellation)) yield return change;
        }

        public Task<long> GrantLeaseAsync(TimeSpan time, CancellationToken cancellation) => inner.GrantLeaseAsync(time, cancellation);

        public Task<bool> RenewLeaseAsync(long lease, CancellationToken cancellation) => inner.RenewLeaseAsync(lease, cancellation);

        public Task RevokeLeaseAsync(long lease, CancellationToken cancellation) => inner.RevokeLeaseAsync(lease, cancellation);

        public Task CompactAsync(long revision, CancellationToken cancellation) => inner.CompactAsync(revision, cancellation);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}

public sealed class SqliteBlockLeasesTests : BlockLeasesConformance, IClassFixture<SqliteLab>
{
    public SqliteBlockLeasesTests(SqliteLab lab)
        : base(lab) => lab.NextFile();
}

public sealed class EtcdBlockLeasesTests : BlockLeasesConformance, IClassFixture<EtcdLab>
{
    public EtcdBlockLeasesTests(EtcdLab lab)
        : base(lab) => lab.NextPrefix();
}
