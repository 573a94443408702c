using System.Text;
using Overlay.Control.Stores;
using Overlay.Control.Stores.Etcd;
using Overlay.Control.Stores.Sqlite;
using Overlay.Testing;

namespace Overlay.Control.Tests.Stores;

/// <summary>A store of one kind, empty, that can be opened any number of times, as by processes of their own.</summary>
public abstract class StoreLab : IAsyncLifetime
{
    public abstract IControlStore Open();

    public virtual Task InitializeAsync() => Task.CompletedTask;

    public abstract Task DisposeAsync();

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public static string Text(StoreEntry entry) => Encoding.UTF8.GetString(entry.Value.Span);
}

/// <summary>Each test that opens it has a file of its own.</summary>
public sealed class SqliteLab : StoreLab
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-sqlite-").FullName;
    private int _files;

    public override IControlStore Open() => new SqliteStore(Path.Combine(_folder, $"control-{_files}.db"));

    public void NextFile() => _files++;

    public override Task DisposeAsync()
    {
        Microsoft.Data.Sqlite.SqliteConnection.ClearAllPools();
        Directory.Delete(_folder, true);
        return Task.CompletedTask;
    }
}

/// <summary>One etcd, in which each test has a prefix of its own.</summary>
public sealed class EtcdLab : StoreLab
{
    private EtcdMember[] _members = [];
    private string _prefix = "t0/";

    public override IControlStore Open() => new EtcdStore(new EtcdOptions { Endpoints = [_members[0].Client], Prefix = _prefix });

    public void NextPrefix() => _prefix = $"{Guid.NewGuid():N}/";

    public override async Task InitializeAsync() => _members = await EtcdMember.StartAsync(1);

    public override Task DisposeAsync()
    {
        foreach (EtcdMember member in _members) member.Dispose();
        return Task.CompletedTask;
    }
}
