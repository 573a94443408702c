using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Overlay.Linux.Interop;

/// <summary>linux/if_tun.h.</summary>
internal static class Tun
{
    public const uint TUNSETPERSIST = 0x400454cb;
    public const uint TUNSETIFF = 0x400454ca;
    public const uint TUNSETOFFLOAD = 0x400454d0;
    public const uint TUNSETVNETHDRSZ = 0x400454d8;

    public const int IFF_TAP = 0x0002;
    public const int IFF_MULTI_QUEUE = 0x0100;
    public const int IFF_NO_PI = 0x1000;
    public const int IFF_VNET_HDR = 0x4000;

    public const uint TUN_F_CSUM = 0x01;
    public const uint TUN_F_TSO4 = 0x02;
    public const uint TUN_F_TSO6 = 0x04;
    public const uint TUN_F_TSO_ECN = 0x08;

    /// <summary>Linux 6.2.</summary>
    public const uint TUN_F_USO4 = 0x20;

    /// <summary>Linux 6.2.</summary>
    public const uint TUN_F_USO6 = 0x40;

    /// <summary>Linux 6.17.</summary>
    public const uint TUN_F_UDP_TUNNEL_GSO = 0x080;

    /// <summary>Linux 6.17.</summary>
    public const uint TUN_F_UDP_TUNNEL_GSO_CSUM = 0x100;

    public const int IFNAMSIZ = 16;
}

[InlineArray(Tun.IFNAMSIZ)]
internal struct InterfaceName
{
    private byte _first;
}

/// <summary>The requests here use no member of the union but the flags.</summary>
[NativeStruct("ifreq"), StructLayout(LayoutKind.Sequential, Size = 40)]
internal struct IfReq
{
    public InterfaceName ifr_name;
    public short ifr_flags;
}
