using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Overlay.Control.Ipam;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;
using Overlay.Control.Tests.Stores;
using Overlay.Testing;

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
        Assert.Equal(BlockReturnStatus.NotHeld, (await leases.ReturnAsync("pods", "b", 1, second.Block!.Value, deadline.Token)).Status);
        Assert.Equal(BlockReturnStatus.Superseded, (await leases.ReturnAsync("pods", "a", 2, second.Block!.Value, deadline.Token)).Status);
        Assert.Equal(BlockReturnStatus.Returned, (await leases.ReturnAsync("pods", "a", 1, second.Block!.Value, deadline.Token)).Status);
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
    public Task LeaseAsync_FiftyNodesAtOnceWithCrashesAtCommits_NoBlockIsLeasedTwiceAndNoneIsLost() => Seeded.CheckAsync(async seed =>
    {
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
            Assert.True(stored.SetEquals(held[i]), $"{nodes[i]} holds {string.Join(' ', held[i])}, the store says {string.Join(' ', stored)}");
        }
    });

    /// <summary>
    /// Fifty nodes hand out and take back addresses at once, of blocks that they lease and return through controllers that die before or after commits; the
    /// nodes die too, and start again from their journals. No address is anybody's while it is another's, and in the end none is lost.
    /// </summary>
    [Fact]
    public Task Addresses_FiftyNodesAtOnceWithCrashesOfNodesAndControllers_AreNeverTwoOwnersAndNoneIsLost() => Seeded.CheckAsync(async seed =>
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await using IControlStore first = lab.Open();
        await using IControlStore second = lab.Open();
        string[] nodes = [.. Enumerable.Range(0, 50).Select(i => $"n{i}")];
        // 128 blocks, so that those given back are leased again and again.
        await SetUpAsync(first, "10.2.0.0/19", [], nodes, deadline.Token);
        IControlStore[] stores = [first, second];
        string folder = Directory.CreateTempSubdirectory("ovt-addresses-").FullName;
        var holders = new ConcurrentDictionary<IPAddress, string>();

        int[] handedOut = await Task.WhenAll(nodes.Select((node, i) => Task.Run(async () =>
        {
            using var client = new AddressClient(new CrashingStore(stores[i % 2], new Random(seed + i)), node, $"{folder}/{node}", holders, new Random(seed - i));
            return await client.RunAsync(deadline.Token);
        })));

        StoreRange range = (await first.ReadAsync(StateKeys.Blocks("pods"), null, deadline.Token))!;
        Assert.Empty(holders);
        Assert.All(range.Entries.Select(StateDocuments.Block), block => Assert.Null(block.Holder));
        Assert.Contains(range.Entries.Select(StateDocuments.Block), block => block.History.Select(tenure => tenure.Node).Distinct().Count() > 1);
        Assert.True(handedOut.Sum() > 50 * 6, $"only {handedOut.Sum()} addresses were handed out");
        Directory.Delete(folder, recursive: true);
    });

    /// <summary>
    /// The same life of a node again and again, with a controller that dies at its first commit, then at its second, and so on to the last; before the commit, and behind it.
    /// </summary>
    [Fact]
    public Task Addresses_ControllerThatDiesAtEachCommitInTurn_AreNeverTwoOwnersAndNoneIsLost() => Seeded.CheckAsync(async seed =>
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await using IControlStore store = lab.Open();
        await SetUpAsync(store, "10.2.0.0/23", [], ["n"], deadline.Token);
        string folder = Directory.CreateTempSubdirectory("ovt-addresses-").FullName;
        int commits = await LiveAsync(-1, false);
        for (int at = 0; at < commits; at++)
        {
            Assert.True(await LiveAsync(at, false) > at);
            Assert.True(await LiveAsync(at, true) > at);
        }
        Assert.True(commits >= 4, $"there were only {commits} commits");
        Directory.Delete(folder, recursive: true);

        async Task<int> LiveAsync(int at, bool isDone)
        {
            var holders = new ConcurrentDictionary<IPAddress, string>();
            var dying = new DyingStore(store, at, isDone);
            using var client = new AddressClient(dying, "n", $"{folder}/{at}-{isDone}", holders, new Random(seed), rounds: 2);
            await client.RunAsync(deadline.Token);
            StoreRange range = (await store.ReadAsync(StateKeys.Blocks("pods"), null, deadline.Token))!;
            Assert.Empty(holders);
            Assert.All(range.Entries.Select(StateDocuments.Block), block => Assert.Null(block.Holder));
            return dying.Commits;
        }
    });

    [Fact]
    public async Task LendAsync_PartOfABlockToANodeThatWishesForOne_IsTheBorrowersUntilItGivesItBack()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await using IControlStore store = lab.Open();
        await SetUpAsync(store, "10.1.0.0/26", [], ["a", "b", "c"], deadline.Token, borrowing: true);
        var leases = new BlockLeases(store);
        var lending = new BlockLending(store, new StateCache());
        var block = IPNetwork.Parse("10.1.0.0/26");
        var part = IPNetwork.Parse("10.1.0.56/29");
        Assert.Equal(block, (await leases.LeaseAsync("pods", "a", AddressFamily.InterNetwork, deadline.Token)).Block);

        BlockLoan unasked = await lending.LendAsync("pods", "a", 1, part, "b", deadline.Token);
        await lending.WishAsync("pods", "b", false, deadline.Token);
        BlockLoan foreign = await lending.LendAsync("pods", "c", 1, part, "b", deadline.Token);
        BlockLoan late = await lending.LendAsync("pods", "a", 2, part, "b", deadline.Token);
        BlockLoan lent = await lending.LendAsync("pods", "a", 1, part, "b", deadline.Token);
        BlockLoan twice = await lending.LendAsync("pods", "a", 1, part, "b", deadline.Token);

        Assert.Equal(
            (BlockLendingStatus.Refused, BlockLendingStatus.Refused, BlockLendingStatus.Superseded, BlockLendingStatus.Lent, BlockLendingStatus.Refused),
            (unasked.Status, foreign.Status, late.Status, lent.Status, twice.Status));
        Assert.Equal("a", Assert.Single(await leases.HeldAsync("pods", "b", deadline.Token)).LentBy);
        // The lender's block is nobody else's while a part of it is in use.
        Assert.Equal(BlockReturnStatus.Returned, (await leases.ReturnAsync("pods", "a", 1, block, deadline.Token)).Status);
        Assert.Equal(BlockLeaseStatus.Exhausted, (await leases.LeaseAsync("pods", "c", AddressFamily.InterNetwork, deadline.Token)).Status);
        Assert.Equal(BlockReturnStatus.Returned, (await leases.ReturnAsync("pods", "b", 1, part, deadline.Token)).Status);
        Assert.Equal(block, (await leases.LeaseAsync("pods", "c", AddressFamily.InterNetwork, deadline.Token)).Block);
    }

    /// <summary>A controller knows its blocks without reading them again and again, however many nodes ask at once.</summary>
    [Fact]
    public async Task LeaseAsync_ManyAtOnceByOneController_LeasesEachBlockOnceAndReadsTheBlocksOnlyWhenUsedUp()
    {
        const int all = 256;
        using var deadline = new CancellationTokenSource(Deadline);
        await using IControlStore store = lab.Open();
        string[] nodes = [.. Enumerable.Range(0, 32).Select(i => $"n{i}")];
        await SetUpAsync(store, "10.2.0.0/18", [], nodes, deadline.Token);
        var counting = new CountingStore(store);
        var cache = new StateCache();
        var ready = new TaskCompletionSource();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token);
        Task following = Task.Run(() => cache.FollowAsync(store, () => ready.TrySetResult(), end.Token), CancellationToken.None);
        await ready.Task.WaitAsync(deadline.Token);
        var leases = new BlockLeases(counting, cache: cache);

        BlockLease[][] leased = await Task.WhenAll(nodes.Select(node => Task.Run(async () =>
        {
            var own = new List<BlockLease>();
            for (int i = 0; i < all / nodes.Length; i++) own.Add(await leases.LeaseAsync("pods", node, AddressFamily.InterNetwork, deadline.Token));
            return own.ToArray();
        })));
        int readings = counting.ReadingsOfBlocks;
        BlockLease[] refused = await Task.WhenAll(nodes.Select(node => leases.LeaseAsync("pods", node, AddressFamily.InterNetwork, deadline.Token)));
        await end.CancelAsync();
        await following.ContinueWith(_ => { }, TaskScheduler.Default);

        Assert.All(leased.SelectMany(each => each), lease => Assert.Equal(BlockLeaseStatus.Leased, lease.Status));
        Assert.Equal(all, leased.SelectMany(each => each).Select(lease => lease.Block).Distinct().Count());
        Assert.Equal(0, readings);
        Assert.All(refused, lease => Assert.Equal(BlockLeaseStatus.Exhausted, lease.Status));
        Assert.InRange(counting.ReadingsOfBlocks, 1, nodes.Length / 4);
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
                    Assert.Equal(BlockReturnStatus.Returned, (await leases.ReturnAsync("pods", node, 1, block, cancellation)).Status);
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

    private static async Task SetUpAsync(IControlStore store, string pool, string[] excluded, string[] nodes, CancellationToken cancellation, bool borrowing = false)
    {
        int length = pool.Contains(':', StringComparison.Ordinal) ? PoolDocument.DefaultIPv6BlockLength : PoolDocument.DefaultIPv4BlockLength;
        var network = new NetworkDocument("pods", 42, "vxlan", [new PoolDocument(pool, length, excluded)], Borrowing: borrowing);
        StoreTransaction transaction = new StoreTransaction().RequireAbsent(StateKeys.Network("pods"))
            .Put(StateKeys.Network("pods"), StateDocuments.Encode(network));
        foreach (string node in nodes)
        {
            var document = new NodeDocument(node, $"machine-{node}", 1, ["192.0.2.1"], "02:00:00:00:00:01", null, new Dictionary<string, string>());
            transaction.Put(StateKeys.Node(node), StateDocuments.Encode(document));
        }
        Assert.True((await store.CommitAsync(transaction, cancellation)).IsCommitted);
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
