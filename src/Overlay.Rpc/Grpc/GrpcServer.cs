using System.Net;
using System.Net.Security;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Overlay.Rpc.Hosting;

namespace Overlay.Rpc.Grpc;

/// <summary>
/// A gRPC server: HTTP/2 on a Unix socket in clear text, or over TCP with TLS. No compression, no client streams.
/// Kestrel refuses a request (PROTOCOL_ERROR) whose <c>:authority</c> is no host name, such as the path of the socket that kubelets before
/// 1.26 send; no option of Kestrel's changes that.
/// </summary>
public sealed class GrpcServer : IHttpApplication<HttpContext>, IAsyncDisposable
{
    /// <summary>Connections that wait to be accepted: as many as the kernel keeps by default (net.core.somaxconn), for when all nodes come at once.</summary>
    private const int MostWaiting = 4096;

    private readonly GrpcRoutes _routes;
    private readonly KestrelServer _server;
    private readonly string? _socket;

    private GrpcServer(GrpcRoutes routes, ILoggerFactory logs, string? socket, Action<KestrelServerOptions> listen)
    {
        _routes = routes;
        _socket = socket;
        // TLS is put under the connections here, so Kestrel takes "https" for a lie unless told that it is none.
        var options = new KestrelServerOptions { AddServerHeader = false, AllowAlternateSchemes = true };
        options.Limits.MaxRequestBodySize = null;
        options.Limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(30);
        listen(options);
        var transport = new SocketTransportOptions { Backlog = MostWaiting };
        if (socket is not null) transport.CreateBoundListenSocket = UnixSocketFile.Bind;
        _server = new KestrelServer(Options.Create(options), new SocketTransportFactory(Options.Create(transport), logs), logs);
    }

    /// <summary>Where it listens, with the port that was chosen where port 0 was asked for; null on a Unix socket.</summary>
    public IPEndPoint? EndPoint { get; private set; }

    /// <summary>Listens on a Unix socket that only its owner may use, replacing one that nobody listens on.</summary>
    /// <exception cref="SocketFileException">Somebody listens there, or the path is no socket.</exception>
    /// <exception cref="IOException">The socket cannot be made there.</exception>
    public static async Task<GrpcServer> ListenAsync(string socket, GrpcRoutes routes, ILoggerFactory logs)
    {
        UnixSocketFile.RemoveStale(socket);
        var server = new GrpcServer(
            routes, logs, socket, options => options.ListenUnixSocket(socket, listen => listen.Protocols = HttpProtocols.Http2));
        await server._server.StartAsync(server, CancellationToken.None).ConfigureAwait(false);
        return server;
    }

    /// <summary>Listens on TCP with TLS.</summary>
    /// <param name="tls">
    /// Asked for each connection; demand a client certificate in it for mutual TLS. The protocol is set to HTTP/2 in what it returns, which
    /// therefore is an object of its own each time.
    /// </param>
    /// <exception cref="IOException">The address is in use or not of this host.</exception>
    public static async Task<GrpcServer> ListenAsync(
        IPEndPoint endPoint, Func<SslServerAuthenticationOptions> tls, GrpcRoutes routes, ILoggerFactory logs)
    {
        var server = new GrpcServer(routes, logs, null, options => options.Listen(endPoint, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            GrpcTls.Use(listen, tls, logs.CreateLogger("grpc"));
        }));
        await server._server.StartAsync(server, CancellationToken.None).ConfigureAwait(false);
        string address = server._server.Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.Single();
        server.EndPoint = new IPEndPoint(endPoint.Address, new Uri(address).Port);
        return server;
    }

    HttpContext IHttpApplication<HttpContext>.CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    Task IHttpApplication<HttpContext>.ProcessRequestAsync(HttpContext context) => GrpcExchange.ServeAsync(context, _routes);

    void IHttpApplication<HttpContext>.DisposeContext(HttpContext context, Exception? exception)
    {
    }

    /// <summary>Takes no more calls, waits until those under way have ended, and hangs up on the rest when the time is over.</summary>
    public async Task StopAsync(TimeSpan patience)
    {
        using var deadline = new CancellationTokenSource(patience);
        await _server.StopAsync(deadline.Token).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync(TimeSpan.FromSeconds(1)).ConfigureAwait(false);
        _server.Dispose();
        if (_socket is not null) File.Delete(_socket);
    }
}
