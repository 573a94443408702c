using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Overlay.Rpc;
using Overlay.Rpc.Hosting;

namespace Overlay.Agent.Api;

/// <summary>
/// The local API: HTTP/1.1 on a Unix socket that only its owner may use. The socket also keeps a second daemon out, so it is opened before
/// anything else of the host is touched.
/// </summary>
internal sealed class LocalApiServer : IHttpApplication<HttpContext>, IAsyncDisposable
{
    private readonly string _path;
    private readonly KestrelServer _server;
    private volatile Func<StatusDocument>? _status;
    private volatile Func<FdbDocument>? _fdb;

    private LocalApiServer(string path, ILoggerFactory logs)
    {
        _path = path;
        var options = new KestrelServerOptions { AddServerHeader = false };
        options.ListenUnixSocket(path, listen => listen.Protocols = HttpProtocols.Http1);
        var transport = new SocketTransportOptions { CreateBoundListenSocket = UnixSocketFile.Bind };
        _server = new KestrelServer(Options.Create(options), new SocketTransportFactory(Options.Create(transport), logs), logs);
    }

    /// <summary>Where the status comes from; until it is set, requests are told that the daemon is starting.</summary>
    public Func<StatusDocument> Status
    {
        set => _status = value;
    }

    /// <summary>As <see cref="Status"/>, for MAC addresses.</summary>
    public Func<FdbDocument> Fdb
    {
        set => _fdb = value;
    }

    /// <summary>Opens the socket, replacing one that nobody listens on.</summary>
    /// <exception cref="StartRefusedException">Another daemon listens there, or the path cannot be used.</exception>
    public static async Task<LocalApiServer> StartAsync(string path, ILoggerFactory logs)
    {
        try
        {
            if (Path.GetDirectoryName(path) is { } folder) Directory.CreateDirectory(folder);
            UnixSocketFile.RemoveStale(path);
            var server = new LocalApiServer(path, logs);
            await server._server.StartAsync(server, CancellationToken.None).ConfigureAwait(false);
            return server;
        }
        catch (SocketFileException exception) when (exception.IsListening)
        {
            throw new StartRefusedException(
                $"another overlayd listens on {path}", "stop it first, or give this one an 'api: socket:' of its own", exception);
        }
        catch (SocketFileException exception)
        {
            throw new StartRefusedException(exception.Message, "remove it, or choose another 'api: socket:'", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or SocketException)
        {
            throw new StartRefusedException($"the API socket {path} cannot be opened: {exception.Message}", "choose another 'api: socket:'", exception);
        }
    }

    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public async Task ProcessRequestAsync(HttpContext context)
    {
        HttpRequest request = context.Request;
        if (request.Path == LocalApi.StatusPath) await AnswerAsync(context, _status, StatusJson.Default.StatusDocument).ConfigureAwait(false);
        else if (request.Path == LocalApi.FdbPath) await AnswerAsync(context, _fdb, StatusJson.Default.FdbDocument).ConfigureAwait(false);
        else context.Response.StatusCode = StatusCodes.Status404NotFound;
    }

    /// <param name="context">Of the request.</param>
    /// <param name="source">Null while the daemon starts.</param>
    /// <param name="type">How the document is written.</param>
    private static async Task AnswerAsync<T>(HttpContext context, Func<T>? source, JsonTypeInfo<T> type)
    {
        HttpResponse response = context.Response;
        if (!HttpMethods.IsGet(context.Request.Method))
        {
            response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            response.Headers.Allow = HttpMethods.Get;
        }
        else if (source is null)
        {
            response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        }
        else
        {
            response.ContentType = "application/json";
            await JsonSerializer.SerializeAsync(response.Body, source(), type, context.RequestAborted).ConfigureAwait(false);
        }
    }

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    public async ValueTask DisposeAsync()
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _server.StopAsync(deadline.Token).ConfigureAwait(false);
        _server.Dispose();
        File.Delete(_path);
    }
}
