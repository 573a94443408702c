using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Overlay.Rpc;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Hosting;
using Overlay.Rpc.Telemetry;

namespace Overlay.Csi.Api;

/// <summary>
/// HTTP/1.1 for others than the orchestrator: <c>/healthz</c>, as the sidecar livenessprobe serves it, <c>/metrics</c>, and, on the Unix socket that only its
/// owner may use, the list of volumes.
/// </summary>
internal sealed class LocalHttpServer : IHttpApplication<HttpContext>, IAsyncDisposable
{
    private readonly string? _socket;
    private readonly KestrelServer _server;
    private readonly IdentityService _identity;
    private readonly VolumesReporter _volumes;
    private readonly CsiMetrics _metrics;

    private LocalHttpServer(string? socket, IPEndPoint? address, IdentityService identity, VolumesReporter volumes, CsiMetrics metrics, ILoggerFactory logs)
    {
        (_socket, _identity, _volumes, _metrics) = (socket, identity, volumes, metrics);
        var options = new KestrelServerOptions { AddServerHeader = false };
        if (socket is not null) options.ListenUnixSocket(socket, listen => listen.Protocols = HttpProtocols.Http1);
        if (address is not null) options.Listen(address, listen => listen.Protocols = HttpProtocols.Http1);
        var transport = new SocketTransportOptions
        {
            CreateBoundListenSocket = endPoint => endPoint is IPEndPoint ? SocketTransportOptions.CreateDefaultBoundListenSocket(endPoint) : UnixSocketFile.Bind(endPoint),
        };
        _server = new KestrelServer(Options.Create(options), new SocketTransportFactory(Options.Create(transport), logs), logs);
    }

    /// <returns>Null where nobody is to be answered.</returns>
    /// <exception cref="SocketFileException">Another driver listens on the socket.</exception>
    /// <exception cref="IOException">An address cannot be listened on.</exception>
    public static async Task<LocalHttpServer?> StartAsync(CsiOptions options, IdentityService identity, VolumesReporter volumes, CsiMetrics metrics, ILoggerFactory logs)
    {
        if (options.ApiSocket is null && options.Health is null) return null;
        if (options.ApiSocket is { } socket)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(socket)!);
            UnixSocketFile.RemoveStale(socket);
        }
        var server = new LocalHttpServer(options.ApiSocket, options.Health, identity, volumes, metrics, logs);
        await server._server.StartAsync(server, CancellationToken.None).ConfigureAwait(false);
        return server;
    }

    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public Task ProcessRequestAsync(HttpContext context)
    {
        HttpResponse response = context.Response;
        bool isLocal = context.Connection.LocalIpAddress is null;
        if (context.Request.Path.Value == LocalApi.HealthPath && HttpMethods.IsGet(context.Request.Method)) return AnswerHealthAsync(context);
        if (context.Request.Path.Value == LocalApi.MetricsPath && HttpMethods.IsGet(context.Request.Method))
            return HttpEndpoint.WriteAsync(context, StatusCodes.Status200OK, _metrics.Scrape(), PrometheusExporter.ContentType);
        if (isLocal && context.Request.Path.Value == LocalApi.VolumesPath && HttpMethods.IsGet(context.Request.Method)) return AnswerVolumesAsync(context);
        response.StatusCode = StatusCodes.Status404NotFound;
        return Task.CompletedTask;
    }

    private async Task AnswerVolumesAsync(HttpContext context)
    {
        VolumesDocument volumes = await _volumes.ReportAsync(context.RequestAborted).ConfigureAwait(false);
        context.Response.ContentType = "application/json";
        await JsonSerializer.SerializeAsync(context.Response.Body, volumes, StatusJson.Default.VolumesDocument, context.RequestAborted).ConfigureAwait(false);
    }

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    public async ValueTask DisposeAsync()
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _server.StopAsync(deadline.Token).ConfigureAwait(false);
        _server.Dispose();
        if (_socket is not null) File.Delete(_socket);
    }

    private Task AnswerHealthAsync(HttpContext context)
    {
        string? problem;
        try
        {
            problem = _identity.IsReady() ? null : "the driver is starting";
        }
        catch (GrpcException exception)
        {
            problem = exception.Message;
        }
        context.Response.StatusCode = problem is null ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(problem ?? "ok", context.RequestAborted);
    }
}
