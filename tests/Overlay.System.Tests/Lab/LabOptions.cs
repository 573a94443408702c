namespace Overlay.SystemTests.Lab;

/// <summary>Outer address family.</summary>
public enum UnderlayFamily
{
    Ipv4,
    Ipv6,
}

/// <summary>Where a kernel VXLAN device sends what it has for a MAC.</summary>
public enum KernelForwarding
{
    /// <summary>Forwarding entries made by hand, as Flannel does.</summary>
    Static,

    /// <summary>All to the one other node (<c>remote</c>).</summary>
    PointToPoint,

    /// <summary>Whence a frame of that MAC came last.</summary>
    Learned,
}

/// <summary>How the network beneath the overlay is.</summary>
public sealed record LabOptions
{
    public int Nodes { get; init; } = 2;

    public UnderlayFamily Family { get; init; } = UnderlayFamily.Ipv4;

    /// <summary>
    /// True: the underlay devices segment and checksum nothing, so every packet is cut and finished as on a real wire.
    /// False: veth's own way, where super-packets and unfinished checksums reach the other side.
    /// </summary>
    public bool Wire { get; init; } = true;

    /// <summary>IP MTU of the underlay.</summary>
    public int UnderlayMtu { get; init; } = 1500;

    /// <summary>Two routers lie between the nodes: <see cref="RoutedUnderlay"/>.</summary>
    public bool Routed { get; init; }

    /// <summary>IP MTU of the link between them.</summary>
    public int MiddleMtu { get => field == 0 ? UnderlayMtu : field; init; }

    /// <summary>Whether the routers let no ICMP through and send none.</summary>
    public bool FiltersIcmp { get; init; } = true;

    /// <summary>
    /// Bytes from the end of the outer UDP header to the inner IP packet: 22 of VXLAN and of Geneve with Ethernet, -8 of IP-in-IP, which has none.
    /// </summary>
    public int TunnelPrefix { get; init; } = 22;

    /// <summary>IP MTU inside: the underlay's less outer IP, UDP and tunnel headers; not less than IPv6 needs.</summary>
    public int OverlayMtu => Math.Max(UnderlayMtu - (Family == UnderlayFamily.Ipv4 ? 28 : 48) - TunnelPrefix, 1280);
}

/// <summary>What the nodes agree on about the tunnel.</summary>
public sealed record TunnelOptions
{
    /// <summary>The tunnel as Flannel sets it up.</summary>
    public static readonly TunnelOptions Flannel = new() { Port = 8472, Vni = 1 };

    public string Encapsulation { get; init; } = "vxlan";

    /// <summary>Such a tunnel has neither port nor VNI, nor MACs of peers.</summary>
    public bool IsIpInIp => Encapsulation == "ipip";

    public int Port { get; init; } = 4789;

    public int Vni { get; init; } = 42;

    /// <summary>How the daemon sends super-packets.</summary>
    public string Egress { get; init; } = "auto";

    public int HopLimit { get; init; } = 64;

    public int TrafficClass { get; init; }

    public int Queues { get; init; } = 1;

    /// <summary>Whether the daemon's sockets are bound to the underlay's interface.</summary>
    public bool HasInterface { get; init; } = true;

    /// <summary>Lines of the daemon's <c>underlay:</c> in place of those for TTL and traffic class, without indentation.</summary>
    public string[]? UnderlayLines { get; init; }

    /// <summary>The daemon's <c>pathMtu:</c> under <c>underlay:</c>; empty: by default.</summary>
    public string[] PathMtuLines { get; init; } = [];

    /// <summary>Further lines of the daemon's <c>tunnel:</c>, without indentation.</summary>
    public string[] TunnelLines { get; init; } = [];

    /// <summary>Further lines of the daemon's segment, without indentation.</summary>
    public string[] SegmentLines { get; init; } = [];

    /// <summary>The first octets of the tunnel header that are flags, as tshark shows them: VXLAN's I flag by default.</summary>
    public int Flags { get; init; } = 0x0800;

    /// <summary>Geneve options on the wire, in hexadecimal.</summary>
    public string Options { get; init; } = "";

    /// <summary>How a kernel VXLAN device finds the node behind a MAC.</summary>
    public KernelForwarding KernelForwarding { get; init; } = KernelForwarding.Static;

    /// <summary>Further words of a kernel VXLAN device.</summary>
    public string KernelWords { get; init; } = "";

    /// <summary>Whether a kernel device fills in the outer UDP checksum over IPv4; Flannel's does not.</summary>
    public bool KernelChecksums { get; init; }
}
