using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Overlay.Rpc;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Hosting;
using Overlay.Rpc.Telemetry;

namespace Overlay.Csi.Api;

/// <summary>
/// HTTP/1.1 for others than the orchestrator: <c>/healthz</c>, as the sidecar livenessprobe serves it, <c>/metrics</c>, and, on the Unix socket that only its
/// owner may use, the list of volumes.
/// </summary>
internal sealed class LocalHttpServer(IdentityService identity, VolumesReporter volumes, CsiMetrics metrics) : IAsyncDisposable
{
    private readonly List<HttpEndpoint> _endpoints = [];

    /// <summary>Answers where the options say.</summary>
    /// <exception cref="SocketFileException">Another driver listens on the socket.</exception>
    /// <exception cref="IOException">An address cannot be listened on.</exception>
    public async Task StartAsync(CsiOptions options, ILoggerFactory logs)
    {
        if (options.ApiSocket is { } socket) _endpoints.Add(await HttpEndpoint.StartAsync(socket, context => AnswerAsync(context, isOwner: true), logs).ConfigureAwait(false));
        if (options.Health is { } address) _endpoints.Add(await HttpEndpoint.StartAsync(address, context => AnswerAsync(context, isOwner: false), logs).ConfigureAwait(false));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (HttpEndpoint endpoint in _endpoints) await endpoint.DisposeAsync().ConfigureAwait(false);
    }

    private Task AnswerAsync(HttpContext context, bool isOwner) => context.Request.Path.Value switch
    {
        LocalApi.HealthPath => AnswerHealthAsync(context),
        LocalApi.MetricsPath => HttpEndpoint.WriteAsync(context, StatusCodes.Status200OK, metrics.Scrape(), PrometheusExporter.ContentType),
        LocalApi.VolumesPath when isOwner => AnswerVolumesAsync(context),
        _ => HttpEndpoint.WriteAsync(context, StatusCodes.Status404NotFound, $"{LocalApi.HealthPath} and {LocalApi.MetricsPath} are here\n"),
    };

    private async Task AnswerVolumesAsync(HttpContext context)
    {
        VolumesDocument document = await volumes.ReportAsync(context.RequestAborted).ConfigureAwait(false);
        context.Response.ContentType = "application/json";
        await JsonSerializer.SerializeAsync(context.Response.Body, document, StatusJson.Default.VolumesDocument, context.RequestAborted).ConfigureAwait(false);
    }

    private Task AnswerHealthAsync(HttpContext context)
    {
        string? problem;
        try
        {
            problem = identity.IsReady() ? null : "the driver is starting";
        }
        catch (GrpcException exception)
        {
            problem = exception.Message;
        }
        return HttpEndpoint.WriteAsync(context, problem is null ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable, problem ?? "ok");
    }
}
