using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Setups;

/// <summary>A pair of nodes that tests run on.</summary>
public interface ISetup
{
    static abstract LabOptions Options { get; }

    static abstract TunnelOptions Tunnel { get; }
}

/// <summary>Datagrams cut by UDP_SEGMENT, on a wire.</summary>
public sealed class UdpGso : ISetup
{
    public static LabOptions Options => new();

    public static TunnelOptions Tunnel => new() { Egress = "udp-gso" };
}

/// <summary>Super-packets injected with their tunnel headers, on a wire.</summary>
public sealed class TunnelGso : ISetup
{
    public static LabOptions Options => new();

    public static TunnelOptions Tunnel => new() { Egress = "tunnel-gso" };
}

/// <summary>IPv6 outside, on a wire, datagrams cut by UDP_SEGMENT.</summary>
public sealed class Ipv6Outer : ISetup
{
    public static LabOptions Options => new() { Family = UnderlayFamily.Ipv6 };

    public static TunnelOptions Tunnel => new() { Egress = "udp-gso" };
}

/// <summary>IPv6 outside, on a wire, super-packets injected with their tunnel headers.</summary>
public sealed class Ipv6OuterTunnelGso : ISetup
{
    public static LabOptions Options => new() { Family = UnderlayFamily.Ipv6 };

    public static TunnelOptions Tunnel => new() { Egress = "tunnel-gso" };
}

/// <summary>UDP_SEGMENT over an underlay that neither cuts nor checksums.</summary>
public sealed class UdpGsoOffloaded : ISetup
{
    public static LabOptions Options => new() { Wire = false };

    public static TunnelOptions Tunnel => new() { Egress = "udp-gso" };
}

/// <summary>Injected super-packets over an underlay that neither cuts nor checksums: they arrive whole.</summary>
public sealed class TunnelGsoOffloaded : ISetup
{
    public static LabOptions Options => new() { Wire = false };

    public static TunnelOptions Tunnel => new() { Egress = "tunnel-gso" };
}

/// <summary>Peers on the same subnet are reached without a tunnel.</summary>
public sealed class CrossSubnet : ISetup
{
    public static LabOptions Options => new();

    public static TunnelOptions Tunnel => new() { SegmentLines = ["direct: cross-subnet"] };
}

/// <summary>A device whose MTU is configured.</summary>
public sealed class FixedMtu : ISetup
{
    public static LabOptions Options => new();

    public static TunnelOptions Tunnel => new() { SegmentLines = ["mtu: 1440"] };
}

/// <summary>Three hops without any ICMP, whose MTU in the middle is only found by probes; a larger one is looked for every five seconds.</summary>
public sealed class RoutedPath : ISetup
{
    public static LabOptions Options => new() { Routed = true, MiddleMtu = 1400 };

    public static TunnelOptions Tunnel => new() { PathMtuLines = ["pathMtu: { confirmSeconds: 1, raiseSeconds: 5 }"] };
}

/// <summary>The same over IPv6.</summary>
public sealed class RoutedPathIpv6 : ISetup
{
    public static LabOptions Options => RoutedPath.Options with { Family = UnderlayFamily.Ipv6 };

    public static TunnelOptions Tunnel => RoutedPath.Tunnel;
}

/// <summary>An underlay that leaves less inside than IPv6 needs.</summary>
public sealed class SmallUnderlay : ISetup
{
    public static LabOptions Options => new() { UnderlayMtu = 1280 };

    public static TunnelOptions Tunnel => new();
}

/// <summary>The same with IPv6 outside.</summary>
public sealed class SmallUnderlayIpv6 : ISetup
{
    public static LabOptions Options => SmallUnderlay.Options with { Family = UnderlayFamily.Ipv6 };

    public static TunnelOptions Tunnel => new();
}

/// <summary>Three hops whose routers tell of packets that are too big, to a peer that answers no probes.</summary>
public sealed class RoutedKernel : ISetup
{
    public static LabOptions Options => new() { Routed = true, MiddleMtu = 1400, FiltersIcmp = false };

    public static TunnelOptions Tunnel => TunnelOptions.Flannel;
}

/// <summary>The same where routers tell nothing.</summary>
public sealed class RoutedKernelQuiet : ISetup
{
    public static LabOptions Options => RoutedKernel.Options with { FiltersIcmp = true };

    public static TunnelOptions Tunnel => TunnelOptions.Flannel;
}

/// <summary>The same over IPv4, where SYNs are left alone and nothing is fragmented inside.</summary>
public sealed class RoutedPathNoRepair : ISetup
{
    public static LabOptions Options => RoutedPath.Options;

    public static TunnelOptions Tunnel => RoutedPath.Tunnel with { TunnelLines = ["mssClamp: off", "fragment: drop"] };
}

/// <summary>Two queues, jumbo frames, and header fields other than by default.</summary>
public sealed class TwoQueuesJumbo : ISetup
{
    public static LabOptions Options => new() { UnderlayMtu = 9000 };

    public static TunnelOptions Tunnel => new() { Queues = 2, HopLimit = 17, TrafficClass = 0x48, Port = 14789, Vni = 16777215 };
}
