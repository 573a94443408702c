using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Overlay.Rpc.Telemetry;

namespace Overlay.Rpc.Hosting;

/// <summary>Answers <c>/metrics</c>, <c>/healthz</c> and <c>/readyz</c> of a daemon, at an address and for whoever hands requests over.</summary>
/// <param name="program">Name of the daemon.</param>
public sealed class Monitoring(string program)
{
    private readonly Lock _gate = new();
    private PrometheusExporter? _exporter;
    private Func<HealthDocument>? _health;

    /// <summary>Answers at an address as well.</summary>
    /// <returns>Null where none is configured.</returns>
    /// <exception cref="ListenException">It cannot be listened on.</exception>
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
            throw new ListenException($"'metrics: listen: {address}' cannot be had: {exception.Message}; choose an address of this host and a port that is free", exception);
        }
    }

    /// <summary>Tells of what runs now, until the result is disposed.</summary>
    public IDisposable Serve(PrometheusExporter exporter, Func<HealthDocument> health)
    {
        lock (_gate) (_exporter, _health) = (exporter, health);
        return new Serving(this);
    }

    /// <returns>Null where the request is for something else.</returns>
    public Task? TryAnswer(HttpContext context)
    {
        // Nobody is told of what is being taken down.
        lock (_gate)
        {
            return context.Request.Path.Value switch
            {
                LocalApi.MetricsPath when _exporter is null => Starting(context),
                LocalApi.MetricsPath => HttpEndpoint.WriteAsync(context, StatusCodes.Status200OK, _exporter.Scrape(), PrometheusExporter.ContentType),
                LocalApi.HealthPath => Answer(context, report => report.Live, starting: true),
                LocalApi.ReadyPath when _health is null => Starting(context),
                LocalApi.ReadyPath => Answer(context, report => report.Ready, starting: false),
                _ => null,
            };
        }
    }

    private Task Starting(HttpContext context) => HttpEndpoint.WriteAsync(context, StatusCodes.Status503ServiceUnavailable, $"{program} is starting or stopping\n");

    private Task Answer(HttpContext context, Func<HealthDocument, bool> isGood, bool starting)
    {
        HealthDocument? report = _health?.Invoke();
        if (report is null ? starting : isGood(report)) return HttpEndpoint.WriteAsync(context, StatusCodes.Status200OK, "ok\n");
        IEnumerable<string> failing = report!.Findings.Where(finding => finding.Severity == HealthSeverity.Failing).Select(finding => $"{finding.Problem}; {finding.Remedy}\n");
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
