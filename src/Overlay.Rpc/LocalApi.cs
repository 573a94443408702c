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

    /// <summary>Path of <see cref="RouteLookupDocument"/>, with the queries <see cref="AddressQuery"/> and <see cref="SegmentQuery"/>.</summary>
    public const string RouteLookupPath = "/v1/routes/lookup";

    /// <summary>Destination to look up; required.</summary>
    public const string AddressQuery = "address";

    /// <summary>Name of the only segment to look in; without it, all are.</summary>
    public const string SegmentQuery = "segment";

    /// <summary>Most bytes a Unix socket's path may have: <c>sun_path</c> less its terminating zero.</summary>
    public const int MaxSocketPathBytes = 107;
}
