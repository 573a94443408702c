using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Overlay.Rpc.Hosting;

/// <summary>
/// HTTP/1.1 in clear text: at an address, for what everybody who reaches it may read, such as metrics and health; or on a Unix socket that only its owner
/// may use.
/// </summary>
public sealed class HttpEndpoint : IHttpApplication<HttpContext>, IAsyncDisposable
{
    private const int MostConnections = 64;

    private readonly KestrelServer _server;
    private readonly Func<HttpContext, Task> _answer;

    private readonly string? _socket;

    private HttpEndpoint(string? socket, Action<KestrelServerOptions> listen, Func<HttpContext, Task> answer, ILoggerFactory logs)
    {
        (_socket, _answer) = (socket, answer);
        var options = new KestrelServerOptions { AddServerHeader = false };
        options.Limits.MaxConcurrentConnections = MostConnections;
        options.Limits.MaxRequestBodySize = 0;
        listen(options);
        var transport = new SocketTransportOptions();
        if (socket is not null) transport.CreateBoundListenSocket = UnixSocketFile.Bind;
        _server = new KestrelServer(Options.Create(options), new SocketTransportFactory(Options.Create(transport), logs), logs);
    }

    /// <param name="address">Of this host.</param>
    /// <param name="answer">Answers GET requests.</param>
    /// <exception cref="IOException">The address is in use.</exception>
    /// <exception cref="SocketException">It is not of this host, or not allowed.</exception>
    public static Task<HttpEndpoint> StartAsync(IPEndPoint address, Func<HttpContext, Task> answer, ILoggerFactory logs) =>
        StartAsync(new HttpEndpoint(null, options => options.Listen(address, listen => listen.Protocols = HttpProtocols.Http1), answer, logs));

    /// <param name="socket">Path, whose folder is made; a socket that nobody listens on is replaced. It goes with this object.</param>
    /// <param name="answer">Answers GET requests.</param>
    /// <exception cref="SocketFileException">Somebody listens there, or the path is no socket.</exception>
    /// <exception cref="IOException">The folder cannot be made.</exception>
    /// <exception cref="SocketException">The socket cannot be opened.</exception>
    public static Task<HttpEndpoint> StartAsync(string socket, Func<HttpContext, Task> answer, ILoggerFactory logs)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(socket)!);
        UnixSocketFile.RemoveStale(socket);
        return StartAsync(new HttpEndpoint(socket, options => options.ListenUnixSocket(socket, listen => listen.Protocols = HttpProtocols.Http1), answer, logs));
    }

    private static async Task<HttpEndpoint> StartAsync(HttpEndpoint endpoint)
    {
        try
        {
            await endpoint._server.StartAsync(endpoint, CancellationToken.None).ConfigureAwait(false);
            return endpoint;
        }
        catch
        {
            endpoint._server.Dispose();
            throw;
        }
    }

    /// <summary>Answers with a text of one line or more.</summary>
    public static Task WriteAsync(HttpContext context, int status, string text, string contentType = "text/plain; charset=utf-8")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        return context.Response.WriteAsync(text, context.RequestAborted);
    }

    HttpContext IHttpApplication<HttpContext>.CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    Task IHttpApplication<HttpContext>.ProcessRequestAsync(HttpContext context)
    {
        if (HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method)) return _answer(context);
        context.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
        context.Response.Headers.Allow = HttpMethods.Get;
        return Task.CompletedTask;
    }

    void IHttpApplication<HttpContext>.DisposeContext(HttpContext context, Exception? exception)
    {
    }

    public async ValueTask DisposeAsync()
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _server.StopAsync(deadline.Token).ConfigureAwait(false);
        _server.Dispose();
        if (_socket is not null) File.Delete(_socket);
    }
}
