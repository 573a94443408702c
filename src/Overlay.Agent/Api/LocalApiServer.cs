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
using Overlay.Agent.Capture;
using Overlay.Agent.Status;
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
    private readonly Monitoring _monitoring;
    private volatile StatusReporter? _reporter;

    private LocalApiServer(string path, Monitoring monitoring, ILoggerFactory logs)
    {
        _path = path;
        _monitoring = monitoring;
        var options = new KestrelServerOptions { AddServerHeader = false };
        // A reader of a capture may pause for as long as it likes.
        options.Limits.MinResponseDataRate = null;
        options.ListenUnixSocket(path, listen => listen.Protocols = HttpProtocols.Http1);
        var transport = new SocketTransportOptions { CreateBoundListenSocket = UnixSocketFile.Bind };
        _server = new KestrelServer(Options.Create(options), new SocketTransportFactory(Options.Create(transport), logs), logs);
    }

    /// <summary>Where the answers come from; until it is set, requests are told that the daemon is starting.</summary>
    public StatusReporter Reporter
    {
        set => _reporter = value;
    }

    /// <summary>Opens the socket, replacing one that nobody listens on.</summary>
    /// <param name="monitoring">Answers what it is asked for.</param>
    /// <exception cref="StartRefusedException">Another daemon listens there, or the path cannot be used.</exception>
    public static async Task<LocalApiServer> StartAsync(string path, Monitoring monitoring, ILoggerFactory logs)
    {
        try
        {
            if (Path.GetDirectoryName(path) is { } folder) Directory.CreateDirectory(folder);
            UnixSocketFile.RemoveStale(path);
            var server = new LocalApiServer(path, monitoring, logs);
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

    public Task ProcessRequestAsync(HttpContext context)
    {
        string? path = context.Request.Path.Value;
        Func<HttpContext, StatusReporter, Task>? answer = path switch
        {
            LocalApi.StatusPath => static (to, reporter) => AnswerAsync(to, reporter.Report(), StatusJson.Default.StatusDocument),
            LocalApi.FdbPath => static (to, reporter) => AnswerAsync(to, reporter.ReportFdb(), StatusJson.Default.FdbDocument),
            LocalApi.RoutesPath => static (to, reporter) => AnswerAsync(to, reporter.ReportRoutes(), StatusJson.Default.RouteListDocument),
            LocalApi.RouteLookupPath => RouteLookupAnswer.WriteAsync,
            LocalApi.FindingsPath => static (to, reporter) => AnswerAsync(to, reporter.Health.Report(), StatusJson.Default.HealthDocument),
            LocalApi.ExplainPath => ExplainAnswer.WriteAsync,
            LocalApi.ExplainArrivalPath => ExplainAnswer.WriteArrivalAsync,
            LocalApi.PodsPath => static (to, reporter) => AnswerAsync(to, reporter.ReportPods(), StatusJson.Default.PodsDocument),
            LocalApi.AddressCheckPath => AddressCheckAnswer.WriteAsync,
            _ => null,
        };
        HttpResponse response = context.Response;
        string method = path is LocalApi.ExplainPath or LocalApi.ExplainArrivalPath ? HttpMethods.Post : HttpMethods.Get;
        if (answer is null)
        {
            if (context.Request.Path.Value == LocalApi.CapturePath && _reporter is { } captured) return CaptureAnswer.WriteAsync(context, captured);
            if (_monitoring.TryAnswer(context) is { } answered) return answered;
            response.StatusCode = StatusCodes.Status404NotFound;
        }
        else if (!HttpMethods.Equals(context.Request.Method, method))
        {
            response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            response.Headers.Allow = method;
        }
        else if (_reporter is { } reporter)
        {
            return answer(context, reporter);
        }
        else
        {
            response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        }
        return Task.CompletedTask;
    }

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    internal static Task AnswerAsync<T>(HttpContext context, T document, JsonTypeInfo<T> type)
    {
        context.Response.ContentType = "application/json";
        return JsonSerializer.SerializeAsync(context.Response.Body, document, type, context.RequestAborted);
    }

    /// <summary>Answers that a question makes no sense, and why.</summary>
    internal static Task RefuseAsync(HttpContext context, string problem)
    {
        context.Response.StatusCode = StatusCodes.Status400BadRequest;
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(problem, context.RequestAborted);
    }

    public async ValueTask DisposeAsync()
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _server.StopAsync(deadline.Token).ConfigureAwait(false);
        _server.Dispose();
        File.Delete(_path);
    }
}
