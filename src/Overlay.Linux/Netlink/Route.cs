using System.Net;

namespace Overlay.Linux.Netlink;

/// <summary>A route of the main table.</summary>
/// <param name="Destination">Prefix it is for.</param>
/// <param name="InterfaceIndex">Interface it leaves by; 0 for one that refuses.</param>
public sealed record Route(IPNetwork Destination, int InterfaceIndex)
{
    public RouteKind Kind { get; init; } = RouteKind.Unicast;

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

/// <summary>What a route does with a packet (rtnetlink(7), RTN_*).</summary>
public enum RouteKind : byte
{
    Unicast = 1,

    /// <summary>Drops silently.</summary>
    Blackhole = 6,

    /// <summary>Answers: host unreachable; IPv6: no route.</summary>
    Unreachable = 7,

    /// <summary>Answers: administratively prohibited.</summary>
    Prohibit = 8,
}
