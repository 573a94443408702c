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

    /// <summary>Most bytes a Unix socket's path may have: <c>sun_path</c> less its terminating zero.</summary>
    public const int MaxSocketPathBytes = 107;
}
