using System.Globalization;
using System.Net;

namespace Overlay.Agent.Configuration;

/// <summary>How the daemon is monitored.</summary>
/// <param name="Listen">Where <c>/metrics</c>, <c>/healthz</c> and <c>/readyz</c> are answered over TCP; null: only the API socket answers.</param>
/// <param name="PeerLimit">Most peers that have series of their own; the others share one.</param>
/// <param name="Otlp">Null: nothing is pushed.</param>
internal sealed record MetricsOptions(int Line, Located<IPEndPoint>? Listen, Located<int> PeerLimit, OtlpOptions? Otlp)
{
    /// <summary>For comparison: all of it takes a restart to change.</summary>
    public string Text => string.Create(
        CultureInfo.InvariantCulture, $"listen {Listen?.Value.ToString() ?? "(none)"}, peerLimit {PeerLimit}, otlp {Otlp?.Text ?? "(none)"}");
}

internal enum OtlpProtocol
{
    Grpc,
    Http,
}

/// <summary>Where metrics are pushed by the OpenTelemetry protocol.</summary>
internal sealed record OtlpOptions(Located<Uri> Endpoint, Located<OtlpProtocol> Protocol, Located<int> IntervalSeconds)
{
    public string Text => string.Create(CultureInfo.InvariantCulture, $"{Endpoint} {Protocol} {IntervalSeconds}");
}

/// <summary>What is kept of packets while nobody asks.</summary>
/// <param name="Ring">Packets that each queue keeps of the latest, and as many of those dropped; 0: none.</param>
/// <param name="Alarms">Folder in which an alarm leaves what the rings hold; null: it leaves nothing.</param>
internal sealed record CaptureOptions(int Line, Located<int> Ring, Located<string>? Alarms);
