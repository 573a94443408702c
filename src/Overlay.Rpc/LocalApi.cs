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

    /// <summary>Path of <see cref="RouteListDocument"/>.</summary>
    public const string RoutesPath = "/v1/routes";

    /// <summary>
    /// Path of <see cref="RouteLookupDocument"/>, with the query <see cref="AddressQuery"/> and those below it, which may be left out.
    /// </summary>
    public const string RouteLookupPath = "/v1/routes/lookup";

    /// <summary>Where overlay-csi listens unless <c>--api</c> says otherwise.</summary>
    public const string DefaultVolumesSocket = "/run/overlay/overlay-csi.sock";

    /// <summary>Path of <see cref="VolumesDocument"/>, at overlay-csi.</summary>
    public const string VolumesPath = "/v1/volumes";

    /// <summary>Path of overlay-csi's liveness: 200, or 503 and why it does not serve.</summary>
    public const string HealthPath = "/healthz";

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
