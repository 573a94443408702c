using Overlay.Linux.Interop;

namespace Overlay.Linux.Tap;

/// <summary>
/// What a TAP device may leave to us: TUN_F_*. A device that does not know UDP super-packets refuses those written to it, too, while
/// it takes TCP super-packets and unfinished checksums from us in any case.
/// </summary>
[Flags]
public enum TapOffloads
{
    None = 0,

    /// <summary>Frames may come with unfinished checksums.</summary>
    Checksum = (int)Tun.TUN_F_CSUM,

    /// <summary>TCP super-packets over IPv4.</summary>
    Tso4 = (int)Tun.TUN_F_TSO4,

    /// <summary>TCP super-packets over IPv6.</summary>
    Tso6 = (int)Tun.TUN_F_TSO6,

    /// <summary>TCP super-packets with CWR set.</summary>
    TsoEcn = (int)Tun.TUN_F_TSO_ECN,

    /// <summary>UDP super-packets over IPv4 (Linux 6.2).</summary>
    Uso4 = (int)Tun.TUN_F_USO4,

    /// <summary>UDP super-packets over IPv6 (Linux 6.2).</summary>
    Uso6 = (int)Tun.TUN_F_USO6,

    All = Checksum | Tso4 | Tso6 | TsoEcn | Uso4 | Uso6,
}
