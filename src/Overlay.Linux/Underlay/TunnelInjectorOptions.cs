namespace Overlay.Linux.Underlay;

/// <summary>The device that takes tunnel super-packets, and what may be changed for it.</summary>
public sealed class TunnelInjectorOptions
{
    /// <summary>Interface name, at most 15 bytes.</summary>
    public required string Name { get; init; }

    /// <summary>
    /// Whether <c>net/ipv4/conf/all/rp_filter</c>, which holds for every interface of the namespace, may be set to 0. It is given its
    /// value back on Dispose.
    /// </summary>
    public bool MayDisableReversePathFilter { get; init; }
}
