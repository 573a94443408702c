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

/// <summary>A device whose MTU is configured, so that it stays where the underlay's falls.</summary>
public sealed class FixedMtu : ISetup
{
    public static LabOptions Options => new();

    public static TunnelOptions Tunnel => new() { SegmentLines = ["mtu: 1450"] };
}

/// <summary>The same, where SYNs are left alone and nothing is fragmented inside.</summary>
public sealed class FixedMtuNoRepair : ISetup
{
    public static LabOptions Options => new();

    public static TunnelOptions Tunnel => FixedMtu.Tunnel with { TunnelLines = ["mssClamp: off", "fragment: drop"] };
}

/// <summary>Two queues, jumbo frames, and header fields other than by default.</summary>
public sealed class TwoQueuesJumbo : ISetup
{
    public static LabOptions Options => new() { UnderlayMtu = 9000 };

    public static TunnelOptions Tunnel => new() { Queues = 2, HopLimit = 17, TrafficClass = 0x48, Port = 14789, Vni = 16777215 };
}
