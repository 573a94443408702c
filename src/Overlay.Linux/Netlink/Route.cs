using System.Net;

namespace Overlay.Linux.Netlink;

/// <summary>A unicast route of the main table.</summary>
/// <param name="Destination">Prefix it is for.</param>
/// <param name="InterfaceIndex">Interface it leaves by.</param>
public sealed record Route(IPNetwork Destination, int InterfaceIndex)
{
    /// <summary>Next hop; null when the destination is on the link.</summary>
    public IPAddress? Gateway { get; init; }

    /// <summary>The gateway is on the link though no address of the interface says so.</summary>
    public bool OnLink { get; init; }

    /// <summary>Source address that packets of this node take; null lets the kernel choose.</summary>
    public IPAddress? PreferredSource { get; init; }

    /// <summary>Who made it (rtnetlink(7)): 2 kernel, 3 boot, 4 static; programs take a number of their own.</summary>
    public byte Protocol { get; init; } = 4;

    /// <summary>Lower wins among routes of one destination. 0 stands for the kernel's default: 0 for IPv4, 1024 for IPv6.</summary>
    public uint Metric { get; init; }
}
