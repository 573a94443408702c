using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Overlay.Control.Stores;
using Overlay.Control.Stores.Etcd;

namespace Overlay.Control.Tests.Stores;

/// <summary>Ranges of more than one page, from a gateway that says what a test has it say.</summary>
public sealed class EtcdPagesTests : IDisposable
{
    private readonly HttpListener _gateway = new();
    private readonly string _url;

    public EtcdPagesTests()
    {
        using var free = new TcpListener(IPAddress.Loopback, 0);
        free.Start();
        int port = ((IPEndPoint)free.LocalEndpoint).Port;
        free.Stop();
        _url = $"http://127.0.0.1:{port}/";
        _gateway.Prefixes.Add(_url);
        _gateway.Start();
    }

    public void Dispose() => _gateway.Close();

    [Theory]
    [InlineData(null)]
    [InlineData(7L)]
    public async Task Read_RevisionCompactedBetweenTwoPages_BeginsAnewUnlessThatVeryRevisionWasAskedFor(long? revision)
    {
        Task<List<long>> serving = ServeAsync(
            Page(7, "p/a", more: true), (HttpStatusCode.BadRequest, """{"code":11,"message":"etcdserver: mvcc: required revision has been compacted"}"""), Page(9, "p/a", more: true), Page(9, "p/b", more: false));
        await using var store = new EtcdStore(new EtcdOptions { Endpoints = [new Uri(_url)], Prefix = "p/" });

        StoreRange? range = await store.ReadAsync("a", revision, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(60));

        if (revision is not null)
        {
            Assert.Null(range);
            return;
        }
        Assert.Equal(9, range!.Revision);
        Assert.Equal(["a", "b"], range.Entries.Select(entry => entry.Key));
        Assert.Equal([0, 7, 0, 9], await serving);
    }

    private static (HttpStatusCode, string) Page(long revision, string key, bool more) =>
        (HttpStatusCode.OK, $$"""{"header":{"revision":"{{revision}}"},"kvs":[{"key":"{{Convert.ToBase64String(Encoding.ASCII.GetBytes(key))}}","create_revision":"2","mod_revision":"2"}],"more":{{(more ? "true" : "false")}}}""");

    /// <returns>The revisions that were asked for.</returns>
    private async Task<List<long>> ServeAsync(params (HttpStatusCode Status, string Body)[] answers)
    {
        var asked = new List<long>();
        foreach ((HttpStatusCode status, string body) in answers)
        {
            HttpListenerContext context = await _gateway.GetContextAsync();
            using JsonDocument request = await JsonDocument.ParseAsync(context.Request.InputStream);
            asked.Add(request.RootElement.TryGetProperty("revision", out JsonElement revision) ? long.Parse(revision.GetString()!, System.Globalization.CultureInfo.InvariantCulture) : 0);
            context.Response.StatusCode = (int)status;
            await context.Response.OutputStream.WriteAsync(Encoding.UTF8.GetBytes(body));
            context.Response.Close();
        }
        return asked;
    }
}
