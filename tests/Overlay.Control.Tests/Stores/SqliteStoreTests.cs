using Overlay.Control.Stores;
using Overlay.Control.Stores.Sqlite;
using Overlay.Testing;

namespace Overlay.Control.Tests.Stores;

public sealed class SqliteStoreTests : StoreConformance, IClassFixture<SqliteLab>
{
    public SqliteStoreTests(SqliteLab lab)
        : base(lab) => lab.NextFile();

    [Fact]
    public async Task CommitAsync_DiskFull_SaysSoChangesNothingAndGoesOnWhenThereIsRoom()
    {
        using var disk = new SmallDisk(kilobytes: 2 * 1024);
        try
        {
            await using var store = new SqliteStore(Path.Combine(disk.Folder, "control.db"));
            disk.Fill();
            byte[] large = new byte[300_000];

            StoreException refused = await Assert.ThrowsAsync<StoreException>(
                () => store.CommitAsync(new StoreTransaction().Put("a", large), End));

            Assert.Contains("is full, and nothing was changed", refused.Message, StringComparison.Ordinal);
            Assert.Empty((await store.ReadAsync("a", null, End))!.Entries);
            disk.MakeRoom();
            Assert.True((await store.CommitAsync(new StoreTransaction().RequireAbsent("a").Put("a", large), End)).IsCommitted);
        }
        finally
        {
            Microsoft.Data.Sqlite.SqliteConnection.ClearAllPools();
        }
    }

    [Fact]
    public void Open_FileThatIsNoDatabase_SaysWhatToDo()
    {
        string file = Path.GetTempFileName();
        File.WriteAllText(file, new string('x', 5000));

        StoreException refused = Assert.Throws<StoreException>(() => new SqliteStore(file));

        Assert.Contains("is no SQLite database: name another file", refused.Message, StringComparison.Ordinal);
        File.Delete(file);
    }

    [Fact]
    public async Task Open_DatabaseOfANewerVersion_IsRefusedAndLeftAlone()
    {
        string file = Path.Combine(Directory.CreateTempSubdirectory("ovt-newer-").FullName, "control.db");
        await using (new SqliteStore(file))
        {
        }
        ProgramRun.Check("sqlite3", file, "PRAGMA user_version = 2");

        StoreException refused = Assert.Throws<StoreException>(() => new SqliteStore(file));

        Assert.Contains("has version 2, and this controller knows 1: use the controller that wrote it, or a newer one", refused.Message, StringComparison.Ordinal);
        Assert.Equal("2\n", ProgramRun.Check("sqlite3", file, "PRAGMA user_version").Output);
        Microsoft.Data.Sqlite.SqliteConnection.ClearAllPools();
        Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
    }

    [Fact]
    public async Task Open_StoreLeftBehind_KeepsItsEntriesAndGivesLeasesTheirWholeTimeAgain()
    {
        string folder = Directory.CreateTempSubdirectory("ovt-lease-").FullName;
        string file = Path.Combine(folder, "control.db");
        var time = new ManualTime();
        long lease;
        await using (var store = new SqliteStore(file, time))
        {
            lease = await store.GrantLeaseAsync(TimeSpan.FromSeconds(10), End);
            await store.CommitAsync(new StoreTransaction().Put("a", new byte[] { 1 }, lease), End);
        }
        time.Advance(TimeSpan.FromHours(1));

        await using (var store = new SqliteStore(file, time))
        {
            Assert.Single((await store.ReadAsync("a", null, End))!.Entries);
            time.Advance(TimeSpan.FromSeconds(9));
            Assert.True(await store.RenewLeaseAsync(lease, End));
            time.Advance(TimeSpan.FromSeconds(11));
            await using IAsyncEnumerator<StoreChange> watch = store.WatchAsync("a", 2, End).GetAsyncEnumerator(End);
            Assert.True(await watch.MoveNextAsync());
            Assert.Null(Assert.Single(watch.Current.Events).Entry);
        }
        Microsoft.Data.Sqlite.SqliteConnection.ClearAllPools();
        Directory.Delete(folder, true);
    }
}
