using Overlay.Wire;

namespace Overlay.Linux.Netlink;

/// <summary>A network interface.</summary>
/// <param name="Index">Interface index in its namespace.</param>
/// <param name="Name">Interface name.</param>
/// <param name="Kind">Kind of a virtual device, such as <c>tun</c> or <c>veth</c>; empty for others.</param>
/// <param name="Mac">Hardware address; all zero where the device has none of six octets.</param>
/// <param name="Mtu">Bytes of an IP packet.</param>
/// <param name="IsUp">Set up by the administrator (IFF_UP).</param>
/// <param name="HasCarrier">Up, and able to carry packets (IFF_LOWER_UP).</param>
public sealed record Link(int Index, string Name, string Kind, MacAddress Mac, int Mtu, bool IsUp, bool HasCarrier)
{
    /// <summary>Interface index of the bridge or bond that it is a port of; 0: none.</summary>
    public int Master { get; init; }

    /// <summary>Bytes of an IPv6 packet: its setting <c>mtu</c>, which a router may tell (RFC 4861 section 4.6.4); <see cref="Mtu"/> where it has none.</summary>
    public int Ipv6Mtu { get; init; } = Mtu;

    /// <summary>Whether it speaks no IPv6 by its setting <c>disable_ipv6</c>.</summary>
    public bool IsIPv6Disabled { get; init; }
}
