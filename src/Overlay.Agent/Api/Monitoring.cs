using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Health;
using Overlay.Rpc;
using Overlay.Rpc.Hosting;
using Overlay.Rpc.Telemetry;

namespace Overlay.Agent.Api;

/// <summary>Answers <c>/metrics</c>, <c>/healthz</c> and <c>/readyz</c>, on the API socket and where the configuration says.</summary>
internal sealed class Monitoring
{
    private readonly Lock _gate = new();
    private PrometheusExporter? _exporter;
    private HealthReporter? _health;

    /// <summary>Answers at an address as well.</summary>
    /// <returns>Null where none is configured.</returns>
    /// <exception cref="StartRefusedException">It cannot be listened on.</exception>
    public async Task<HttpEndpoint?> ListenAsync(IPEndPoint? address, ILoggerFactory logs)
    {
        if (address is null) return null;
        try
        {
            return await HttpEndpoint.StartAsync(address, context => TryAnswer(context) ?? HttpEndpoint.WriteAsync(context, StatusCodes.Status404NotFound, "/metrics, /healthz and /readyz are here\n"), logs)
                .ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or SocketException)
        {
            throw new StartRefusedException($"'metrics: listen: {address}' cannot be had: {exception.Message}", "choose an address of this host and a port that is free", exception);
        }
    }

    /// <summary>Tells of a node from now on, until the result is disposed.</summary>
    public IDisposable Serve(PrometheusExporter exporter, HealthReporter health)
    {
        lock (_gate) (_exporter, _health) = (exporter, health);
        return new Serving(this);
    }

    /// <returns>Null where the request is for something else.</returns>
    public Task? TryAnswer(HttpContext context)
    {
        // Nobody is told of a node that is being taken down.
        lock (_gate)
        {
            return context.Request.Path.Value switch
            {
                LocalApi.MetricsPath when _exporter is null => Starting(context),
                LocalApi.MetricsPath => HttpEndpoint.WriteAsync(context, StatusCodes.Status200OK, _exporter.Scrape(), PrometheusExporter.ContentType),
                LocalApi.HealthPath => Answer(context, _health?.Report().Live ?? true),
                LocalApi.ReadyPath when _health is null => Starting(context),
                LocalApi.ReadyPath => Answer(context, _health.Report().Ready),
                _ => null,
            };
        }
    }

    private static Task Starting(HttpContext context) => HttpEndpoint.WriteAsync(context, StatusCodes.Status503ServiceUnavailable, "overlayd is starting or stopping\n");

    private Task Answer(HttpContext context, bool isGood)
    {
        if (isGood) return HttpEndpoint.WriteAsync(context, StatusCodes.Status200OK, "ok\n");
        IEnumerable<string> failing = _health!.Report().Findings.Where(finding => finding.Severity == HealthSeverity.Failing).Select(finding => $"{finding.Problem}; {finding.Remedy}\n");
        return HttpEndpoint.WriteAsync(context, StatusCodes.Status503ServiceUnavailable, string.Concat(failing));
    }

    private sealed class Serving(Monitoring monitoring) : IDisposable
    {
        public void Dispose()
        {
            lock (monitoring._gate) (monitoring._exporter, monitoring._health) = (null, null);
        }
    }
}
