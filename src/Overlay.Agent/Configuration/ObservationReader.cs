using System.Net;

namespace Overlay.Agent.Configuration;

/// <summary>Reads what a configuration says of metrics and captures.</summary>
internal static class ObservationReader
{
    private const int DefaultRing = 512;
    private const int MostRing = 65_536;
    private const int DefaultPeerLimit = 500;
    private const int DefaultIntervalSeconds = 60;

    public static MetricsOptions ReadMetrics(YamlSection section)
    {
        var options = new MetricsOptions(
            section.Line,
            section.Optional<IPEndPoint>("listen", ConfigurationValues.EndPoint("127.0.0.1:9479", "\"[::1]:9479\"")),
            section.OrDefault("peerLimit", DefaultPeerLimit, ConfigurationValues.Integer(0, 10_000)),
            ReadOtlp(section));
        section.RefuseUnknownKeys();
        return options;
    }

    public static CaptureOptions ReadCapture(YamlSection section)
    {
        var options = new CaptureOptions(
            section.Line,
            section.OrDefault("ring", DefaultRing, ConfigurationValues.Integer(0, MostRing)),
            section.Optional<string>("alarms", ConfigurationValues.FilePath));
        section.RefuseUnknownKeys();
        return options;
    }

    private static OtlpOptions? ReadOtlp(YamlSection metrics)
    {
        if (!metrics.Has("otlp")) return null;
        YamlSection section = metrics.Section("otlp");
        Located<Uri>? endpoint = section.Required<Uri>("endpoint", "http://127.0.0.1:4317", Endpoint);
        Located<OtlpProtocol> protocol = section.OrDefault(
            "protocol", OtlpProtocol.Grpc, ConfigurationValues.OneOf(("grpc", OtlpProtocol.Grpc), ("http", OtlpProtocol.Http)));
        Located<int> interval = section.OrDefault("intervalSeconds", DefaultIntervalSeconds, ConfigurationValues.Integer(1, 3600));
        section.RefuseUnknownKeys();
        return endpoint is { } to ? new OtlpOptions(to, protocol, interval) : null;
    }

    private static Refusal? Endpoint(string text, out Uri value)
    {
        bool good = Uri.TryCreate(text, UriKind.Absolute, out Uri? parsed) && parsed.Scheme is "http" or "https" && parsed.Host.Length > 0;
        value = good ? parsed! : new Uri("http://localhost");
        return good ? null : new Refusal($"'{text}' is no URL of a collector", "write it as http://127.0.0.1:4317");
    }
}
