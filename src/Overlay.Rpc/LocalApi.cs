namespace Overlay.Rpc;

/// <summary>Where the daemon's local API is found: HTTP/1.1 over a Unix socket.</summary>
public static class LocalApi
{
    /// <summary>Where overlayd listens unless <c>api: socket:</c> says otherwise.</summary>
    public const string DefaultSocket = "/run/overlay/overlayd.sock";

    /// <summary>Path of <see cref="StatusDocument"/>.</summary>
    public const string StatusPath = "/v1/status";

    /// <summary>Path of <see cref="FdbDocument"/>.</summary>
    public const string FdbPath = "/v1/fdb";

    /// <summary>Path of <see cref="PodsDocument"/>.</summary>
    public const string PodsPath = "/v1/pods";

    /// <summary>Path of <see cref="AddressCheckDocument"/>.</summary>
    public const string AddressCheckPath = "/v1/pods/check";

    /// <summary>Path of <see cref="RouteListDocument"/>.</summary>
    public const string RoutesPath = "/v1/routes";

    /// <summary>
    /// Path of <see cref="RouteLookupDocument"/>, with the query <see cref="AddressQuery"/> and those below it, which may be left out.
    /// </summary>
    public const string RouteLookupPath = "/v1/routes/lookup";

    /// <summary>Path of <see cref="ExplanationDocument"/>, asked by POST of an <see cref="ExplainQuestion"/>.</summary>
    public const string ExplainPath = "/v1/explain";

    /// <summary>Path of <see cref="ArrivalDocument"/>, asked by POST of an <see cref="ArrivalQuestion"/>.</summary>
    public const string ExplainArrivalPath = "/v1/explain/arrival";

    /// <summary>Where overlay-csi listens unless <c>--api</c> says otherwise.</summary>
    public const string DefaultVolumesSocket = "/run/overlay/overlay-csi.sock";

    /// <summary>Path of <see cref="VolumesDocument"/>, at overlay-csi.</summary>
    public const string VolumesPath = "/v1/volumes";

    /// <summary>Path of liveness, of either daemon: 200, or 503 and why it does not serve.</summary>
    public const string HealthPath = "/healthz";

    /// <summary>Path of overlayd's readiness: 200, or 503 and what is in the way.</summary>
    public const string ReadyPath = "/readyz";

    /// <summary>Path of the metrics of either daemon, in Prometheus' text format.</summary>
    public const string MetricsPath = "/metrics";

    /// <summary>Path of <see cref="HealthDocument"/>.</summary>
    public const string FindingsPath = "/v1/health";

    /// <summary>
    /// GET: a capture as pcapng, until it is ended; its number is in the header <see cref="CaptureHeader"/>. DELETE with the query
    /// <see cref="CaptureQuery"/>: ends it, so that the file is completed.
    /// </summary>
    public const string CapturePath = "/v1/capture";

    /// <summary>Header with the number of a capture.</summary>
    public const string CaptureHeader = "Overlay-Capture";

    /// <summary>Number of the capture to end.</summary>
    public const string CaptureQuery = "capture";

    /// <summary>Only packets to and from a peer, by name.</summary>
    public const string PeerQuery = "peer";

    /// <summary>Only packets from or to an address or prefix, inner or outer.</summary>
    public const string HostQuery = "host";

    /// <summary>Only inner TCP and UDP packets from or to a port.</summary>
    public const string PortQuery = "port";

    /// <summary><c>true</c>: only packets that were dropped.</summary>
    public const string DroppedQuery = "dropped";

    /// <summary><c>inner</c> or <c>outer</c>: only packets that are seen there.</summary>
    public const string AtQuery = "at";

    /// <summary>Ends the capture after as many packets.</summary>
    public const string CountQuery = "count";

    /// <summary>Most bytes kept of a packet.</summary>
    public const string SnapLengthQuery = "snapLength";

    /// <summary><c>true</c>: super-packets are written as the packets that they stand for.</summary>
    public const string SegmentedQuery = "segmented";

    /// <summary><c>true</c>: what the always-on ring holds, and no more.</summary>
    public const string RingQuery = "ring";

    /// <summary>Destination to look up; required.</summary>
    public const string AddressQuery = "address";

    /// <summary>Name of the only segment to look in; without it, all are.</summary>
    public const string SegmentQuery = "segment";

    /// <summary>Source address of the flow that is asked about.</summary>
    public const string FromQuery = "from";

    /// <summary>IP protocol number of the flow; without it, ICMP or ICMPv6.</summary>
    public const string ProtocolQuery = "protocol";

    /// <summary>Source port of the flow, of TCP and UDP.</summary>
    public const string SourcePortQuery = "sourcePort";

    /// <summary>Destination port of the flow, of TCP and UDP.</summary>
    public const string DestinationPortQuery = "destinationPort";

    /// <summary>Most bytes a Unix socket's path may have: <c>sun_path</c> less its terminating zero.</summary>
    public const int MaxSocketPathBytes = 107;
}
