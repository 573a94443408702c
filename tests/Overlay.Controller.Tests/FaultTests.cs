using System.Diagnostics;
using Overlay.Control.Stores;
using Overlay.Control.Stores.Sqlite;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Security;
using Overlay.Testing;
using static Overlay.Controller.Tests.ControllerLab;

namespace Overlay.Controller.Tests;

/// <summary>Disks that are full, clocks that are set, backups that are restored.</summary>
public sealed class FaultTests
{
    [Fact]
    public async Task Controller_DiskFull_RefusesChangesWithTheReasonAnswersQuestionsAndGoesOnWhenThereIsRoom()
    {
        using var deadline = new CancellationTokenSource(ControllerLab.Patience);
        using var disk = new SmallDisk(kilobytes: 3 * 1024);
        await using ControllerLab lab = await ControllerLab.StartNewAsync($"{{ kind: sqlite, file: {disk.Folder}/control.db }}", "nodes: { leaseSeconds: 2, graceSeconds: 1 }");
        await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16");
        using GrpcChannel channel = lab.OpenNode("a");
        RegisterResponse registered = await RegisterAsync(channel, ControllerLab.Registration("a"));
        AcquireBlockResponse block = await AcquireAsync(channel, "a", registered);
        disk.Fill();

        // The log has room for some more pages before the disk is asked for any.
        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(async () =>
        {
            for (int i = 1; i < 2000; i++) await ReserveAsync(lab, $"10.244.{i / 250}.{i % 250}");
        });
        // Nor is a node taken that nobody can write down, while one that has its block is told of it.
        using GrpcChannel another = lab.OpenNode("b");
        GrpcException unknown = await Assert.ThrowsAsync<GrpcException>(async () =>
        {
            for (int i = 0; i < 2000; i++) await RegisterAsync(another, ControllerLab.Registration("b", generation: i, attempt: $"{i}", underlay: "192.0.2.2"));
        });
        WatchResponse told = await NextAsync(channel, 0, deadline.Token);
        GetStateResponse served = await lab.StateAsync();
        // Longer than lease and grace together: both run out while nothing can be written down.
        await Task.Delay(TimeSpan.FromSeconds(4));

        Assert.Equal(GrpcStatusCode.Unavailable, refused.Status);
        Assert.Contains("is full, and nothing was changed: make room", refused.Message, StringComparison.Ordinal);
        Assert.Equal(GrpcStatusCode.Unavailable, unknown.Status);
        Assert.Contains($"the disk of {disk.Folder}/control.db is full, and nothing was changed: make room", unknown.Message, StringComparison.Ordinal);
        Assert.Equal([(block.Prefix, "a")], told.Changes.Where(change => change.Block is not null).Select(change => (change.Block.Prefix, change.Block.Holder)));
        Assert.Equal("a", served.Blocks.Single().Holder);
        disk.MakeRoom();
        await ReserveAsync(lab, "10.244.255.9");
        long known = (await lab.StateAsync()).Nodes.SingleOrDefault(node => node.Name == "b")?.Generation ?? 0;
        Assert.Equal(known + 1, (await RegisterAsync(another, ControllerLab.Registration("b", generation: known, attempt: "late", underlay: "192.0.2.2"))).Generation);
        RegisterResponse again = await RegisterAsync(channel, ControllerLab.Registration("a", generation: registered.Generation, attempt: "again"));
        Assert.Equal(block.Prefix, (await AcquireAsync(channel, "a", again, block.Prefix)).Prefix);
        Assert.Equal(block.Prefix, (await lab.StateAsync()).Blocks.Single(each => each.Prefix == block.Prefix).Prefix);
        Assert.Empty((await lab.AdministerAsync<CheckRequest, CheckResponse>("Check", new CheckRequest())).Problems);
        Assert.Equal(0, await lab.TerminateAsync());
    }

    /// <summary>A node that renews its lease stays alive, and keeps its blocks, whatever is done to the clock.</summary>
    [Fact]
    public async Task Controller_ClockSetAnHourOnAndBack_TakesNoNodeForLost()
    {
        await using var lab = new ControllerLab(more: "nodes: { leaseSeconds: 3, graceSeconds: 1 }");
        foreach ((string file, CertificateIdentity identity, string[] hosts) in new[]
        {
            ("controller", new CertificateIdentity(CertificateRole.Controller, "controller"), new[] { "127.0.0.1" }),
            ("a", new CertificateIdentity(CertificateRole.Node, "a"), []),
        })
            lab.Issue(file, identity, hosts, life: TimeSpan.FromHours(6));
        string clock = $"{lab.Folder}/clock";
        await File.WriteAllTextAsync(clock, "+0\n");
        lab.Environment = new Dictionary<string, string>
        {
            ["LD_PRELOAD"] = Directory.GetDirectories("/usr/lib", "*-linux-gnu").Select(folder => $"{folder}/faketime/libfaketime.so.1").First(File.Exists),
            ["FAKETIME_TIMESTAMP_FILE"] = clock,
            ["FAKETIME_NO_CACHE"] = "1",
            ["FAKETIME_DONT_FAKE_MONOTONIC"] = "1",
        };
        await lab.StartAsync();
        await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16");
        using GrpcChannel channel = lab.Open("a");
        RegisterResponse registered = await RegisterAsync(channel, ControllerLab.Registration("a"));
        AcquireBlockResponse block = await AcquireAsync(channel, "a", registered);

        foreach (string offset in new[] { "+3600", "+0" })
        {
            await File.WriteAllTextAsync(clock, $"{offset}\n");
            for (int i = 0; i < 6; i++)
            {
                await Task.Delay(TimeSpan.FromSeconds(1));
                await RenewAsync(channel, "a", registered);
            }
            GetStateResponse state = await lab.StateAsync();
            Assert.Equal(0, state.Nodes.Single().LostSince);
            Assert.All(state.Blocks, each => Assert.Equal("a", each.Holder));
            if (offset == "+0") continue;
            // That the clock was another one is seen in what is only shown.
            await AcquireAsync(channel, "a", registered, "10.244.200.0/26");
            GetStateResponse after = await lab.StateAsync();
            Assert.True(after.Blocks[^1].Since - after.Blocks[0].Since > 3_000_000);
        }
        Assert.Contains(block.Prefix, (await lab.StateAsync()).Blocks.Where(each => each.Holder == "a").Select(each => each.Prefix));
        Assert.Equal(0, await lab.TerminateAsync());
    }

    /// <summary>What somebody wrote into the store by hand is told with its key, and followed again when it is mended; the controller goes on meanwhile.</summary>
    [Theory]
    [InlineData("state/networks/odd", "{")]
    [InlineData("state/nodes/odd", "null")]
    [InlineData("state/blocks/pods", "{\"network\":\"pods\",\"prefix\":\"10.244.0.0/26\",\"since\":\"2026-01-01T00:00:00Z\",\"history\":[]}")]
    public async Task Controller_EntryThatCannotBeRead_SaysWhichAndFollowsAgainOnceItIsGone(string key, string value)
    {
        await using ControllerLab lab = await ControllerLab.StartNewAsync();
        await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16");
        await using var store = new SqliteStore(lab.Database);

        Assert.True((await store.CommitAsync(new StoreTransaction().Put(key, System.Text.Encoding.UTF8.GetBytes(value)), CancellationToken.None)).IsCommitted);

        await lab.WaitForLogAsync($"the store cannot be followed: the entry '{key}' of the store cannot be read");
        Assert.Single((await lab.StateAsync()).Networks);
        Assert.True((await store.CommitAsync(new StoreTransaction().Delete(key), CancellationToken.None)).IsCommitted);
        await lab.CreateNetworkAsync("more", 43, "10.245.0.0/16");
        Assert.Equal(0, await lab.TerminateAsync());
    }

    /// <summary>What docs/control-plane.md says of backups, word for word.</summary>
    [Theory]
    [InlineData("sqlite")]
    [InlineData("etcd")]
    public async Task Backup_Restored_NodesStartOverAndClaimWhatTheyHoldAgain(string kind)
    {
        using var deadline = new CancellationTokenSource(ControllerLab.Patience);
        EtcdMember? etcd = kind == "etcd" ? (await EtcdMember.StartAsync(1))[0] : null;
        try
        {
            await using ControllerLab lab = await ControllerLab.StartNewAsync(etcd is null ? null : $"{{ kind: etcd, endpoints: [{etcd.Client.OriginalString}] }}");
            string backup = $"{lab.Folder}/control-backup.db";
            await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16");
            using GrpcChannel channel = lab.OpenNode("a");
            RegisterResponse registered = await RegisterAsync(channel, ControllerLab.Registration("a"));
            AcquireBlockResponse known = await AcquireAsync(channel, "a", registered);
            Save(lab, etcd, backup);
            AcquireBlockResponse later = await AcquireAsync(channel, "a", registered);
            for (int i = 0; i < 5; i++) await ReserveAsync(lab, $"10.244.255.{i + 1}");
            long revision = (await lab.StateAsync()).Revision;

            await RestoreAsync(lab, etcd, backup);

            WatchResponse whole = await ControllerLab.RetryAsync(() => NextAsync(channel, revision, deadline.Token));
            Assert.True(whole.Reset);
            Assert.Equal([known.Prefix], whole.Changes.Where(change => change.Block is not null).Select(change => change.Block.Prefix));
            RegisterResponse again = await RegisterAsync(
                channel, ControllerLab.Registration("a", generation: registered.Generation, attempt: "b"));
            Assert.Equal(later.Prefix, (await AcquireAsync(channel, "a", again, later.Prefix)).Prefix);
            Assert.Equal(2, (await lab.StateAsync()).Blocks.Count(block => block.Holder == "a"));
            Assert.Empty((await lab.AdministerAsync<CheckRequest, CheckResponse>("Check", new CheckRequest())).Problems);
        }
        finally
        {
            etcd?.Dispose();
        }
    }

    /// <summary>
    /// A node that comes back when the restored store has more revisions than it knows of: others were faster. It registered since the backup.
    /// </summary>
    [Theory]
    [InlineData("sqlite")]
    [InlineData("etcd")]
    public async Task Backup_RestoredAndOvertaken_ANodeStartsOverAllTheSameAndLearnsWhoseItsBlockIs(string kind)
    {
        using var deadline = new CancellationTokenSource(ControllerLab.Patience);
        EtcdMember? etcd = kind == "etcd" ? (await EtcdMember.StartAsync(1))[0] : null;
        try
        {
            await using ControllerLab lab = await ControllerLab.StartNewAsync(etcd is null ? null : $"{{ kind: etcd, endpoints: [{etcd.Client.OriginalString}] }}");
            string backup = $"{lab.Folder}/control-backup.db";
            await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16");
            using GrpcChannel channel = lab.OpenNode("a");
            using GrpcChannel other = lab.OpenNode("b");
            RegisterResponse first = await RegisterAsync(channel, ControllerLab.Registration("a"));
            Save(lab, etcd, backup);
            RegisterResponse second = await RegisterAsync(channel, ControllerLab.Registration("a", generation: first.Generation, attempt: "b"));
            AcquireBlockResponse lost = await AcquireAsync(channel, "a", second);
            for (int i = 0; i < 5; i++) await ReserveAsync(lab, $"10.244.254.{i + 1}");
            WatchResponse known = await NextAsync(channel, 0, deadline.Token);
            Assert.True(known.Revision > lost.Revision && known.Mark.Length > 0);

            await RestoreAsync(lab, etcd, backup);
            RegisterResponse stranger = await ControllerLab.RetryAsync(() => RegisterAsync(other, ControllerLab.Registration("b", underlay: "192.0.2.2")));
            AcquireBlockResponse taken = await AcquireAsync(other, "b", stranger, lost.Prefix);
            for (int i = 0; i < 20; i++) await ReserveAsync(lab, $"10.244.255.{i + 1}");
            Assert.True(taken.Revision <= known.Revision && (await lab.StateAsync()).Revision > known.Revision);

            RegisterResponse again = await ControllerLab.RetryAsync(() => RegisterAsync(channel, ControllerLab.Registration("a", generation: second.Generation, attempt: "c")));
            WatchResponse told = await NextAsync(channel, known.Revision, deadline.Token, known.Mark);

            Assert.Equal(second.Generation + 1, again.Generation);
            Assert.True(told.Reset && told.Restored);
            // Others that come back may claim theirs.
            GrpcException? early = null;
            while (early is null)
            {
                long start = Stopwatch.GetTimestamp();
                await NextAsync(channel, known.Revision, deadline.Token, known.Mark);
                early = await Record.ExceptionAsync(() => AcquireAsync(channel, "a", again)) as GrpcException;
                Assert.True(early is not null || Stopwatch.GetElapsedTime(start) > TimeSpan.FromSeconds(9), "a block was leased that a node may hold which did not say so yet");
            }
            Assert.Equal(GrpcStatusCode.ResourceExhausted, early.Status);
            Assert.StartsWith("a backup was restored, and nodes are just claiming the blocks", early.Message, StringComparison.Ordinal);
            Assert.Equal("10.244.7.0/26", (await AcquireAsync(channel, "a", again, "10.244.7.0/26")).Prefix);
            Assert.Equal([(lost.Prefix, "b")], told.Changes.Where(change => change.Block is not null).Select(change => (change.Block.Prefix, change.Block.Holder)));
        }
        finally
        {
            etcd?.Dispose();
        }
    }

    /// <summary>A controller that is only started again has no node start over.</summary>
    [Fact]
    public async Task Controller_StartedAgain_NodesGoOnAtTheRevisionThatTheyKnow()
    {
        using var deadline = new CancellationTokenSource(ControllerLab.Patience);
        await using ControllerLab lab = await ControllerLab.StartNewAsync(more: "nodes: { leaseSeconds: 600 }");
        await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16");
        using GrpcChannel channel = lab.OpenNode("a");
        await RegisterAsync(channel, ControllerLab.Registration("a"));
        WatchResponse known = await NextAsync(channel, 0, deadline.Token);

        for (int i = 1; i <= 3; i++)
        {
            Assert.Equal(0, await lab.TerminateAsync());
            await lab.StartAsync();
            await ReserveAsync(lab, $"10.244.255.{i}");
            WatchResponse next = await ControllerLab.RetryAsync(() => NextAsync(channel, known.Revision, deadline.Token, known.Mark));
            Assert.False(next.Reset || next.Restored);
            Assert.Equal($"10.244.255.{i}", next.Changes.Single().Reservation.Address);
            Assert.NotEqual(known.Mark, next.Mark);
            known = next;
        }
    }

    /// <param name="etcd">The store; null: it is the controller's SQLite.</param>
    private static void Save(ControllerLab lab, EtcdMember? etcd, string backup)
    {
        if (etcd is null) ProgramRun.Check("sqlite3", lab.Database, $".backup {backup}");
        else ProgramRun.Check("etcdctl", "--endpoints", etcd.Client.OriginalString, "snapshot", "save", backup);
    }

    private static async Task RestoreAsync(ControllerLab lab, EtcdMember? etcd, string backup)
    {
        Assert.Equal(0, await lab.TerminateAsync());
        if (etcd is null)
        {
            File.Copy(backup, lab.Database, overwrite: true);
            File.Delete($"{lab.Database}-wal");
            File.Delete($"{lab.Database}-shm");
        }
        else
        {
            etcd.Kill();
            etcd.Restore(backup);
            etcd.Start();
        }
        await lab.StartAsync();
    }

    private static Task<ChangeResponse> ReserveAsync(ControllerLab lab, string address) =>
        lab.AdministerAsync<ReserveRequest, ChangeResponse>("Reserve", new ReserveRequest { Address = address, Owner = "test" });
}
