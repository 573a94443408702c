using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using Overlay.Agent.Configuration;

namespace Overlay.Agent.Metrics;

/// <summary>Pushes the node's metrics to a collector at intervals. A collector that is away is tried again at the next.</summary>
internal static class OtlpExport
{
    /// <param name="options">Where to.</param>
    /// <param name="node">Name of the node, which becomes <c>service.instance.id</c>.</param>
    /// <param name="version">Of the daemon.</param>
    /// <param name="peerLimit">Most peers with series of their own.</param>
    /// <returns>To be disposed, which pushes once more.</returns>
    public static MeterProvider Start(OtlpOptions options, string node, string version, int peerLimit) => Sdk.CreateMeterProviderBuilder()
        .ConfigureResource(resource => resource.AddService("overlayd", serviceNamespace: null, version, autoGenerateServiceInstanceId: false, node))
        .AddMeter(NodeMetrics.MeterName)
        .AddView(instrument => new MetricStreamConfiguration { CardinalityLimit = TrafficMetrics.MostSeries(instrument.Name, peerLimit) })
        .AddOtlpExporter((exporter, reader) =>
        {
            exporter.Endpoint = EndpointOf(options);
            exporter.Protocol = options.Protocol.Value == OtlpProtocol.Grpc ? OtlpExportProtocol.Grpc : OtlpExportProtocol.HttpProtobuf;
            exporter.TimeoutMilliseconds = 5000;
            reader.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds = options.IntervalSeconds * 1000;
            reader.PeriodicExportingMetricReaderOptions.ExportTimeoutMilliseconds = 5000;
        })
        .Build();

    /// <summary>Over HTTP metrics have a path of their own, which an endpoint without a path stands for.</summary>
    private static Uri EndpointOf(OtlpOptions options) =>
        options.Protocol.Value == OtlpProtocol.Http && options.Endpoint.Value.AbsolutePath == "/"
            ? new Uri(options.Endpoint.Value, "/v1/metrics")
            : options.Endpoint.Value;
}
