namespace Overlay.SystemTests.Lab;

/// <summary>Outer address family.</summary>
public enum UnderlayFamily
{
    Ipv4,
    Ipv6,
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

    /// <summary>IP MTU inside: the underlay's less outer IP, UDP, VXLAN and inner Ethernet headers.</summary>
    public int OverlayMtu => UnderlayMtu - (Family == UnderlayFamily.Ipv4 ? 50 : 70);
}

/// <summary>What the nodes agree on about the tunnel.</summary>
public sealed record TunnelOptions
{
    /// <summary>The tunnel as Flannel sets it up.</summary>
    public static readonly TunnelOptions Flannel = new() { Port = 8472, Vni = 1 };

    public int Port { get; init; } = 4789;

    public int Vni { get; init; } = 42;

    /// <summary>How the daemon sends super-packets.</summary>
    public string Egress { get; init; } = "auto";

    public int HopLimit { get; init; } = 64;

    public int TrafficClass { get; init; }

    public int Queues { get; init; } = 1;

    /// <summary>Whether a kernel device fills in the outer UDP checksum over IPv4; Flannel's does not.</summary>
    public bool KernelChecksums { get; init; }
}
