using Overlay.Dataplane.Forwarding;

namespace Overlay.Dataplane.Egress;

/// <summary>Outer address families whose tunnel super-packets the kernel can segment for us.</summary>
[Flags]
public enum TunnelOffload : byte
{
    None = 0,
    Ipv4 = 1,
    Ipv6 = 2,
}

/// <summary>What an <see cref="EgressPath"/> is told once, when its worker starts.</summary>
public sealed record EgressOptions
{
    /// <summary>Index of the worker's queue among <see cref="PeerTraffic.Queues"/>.</summary>
    public int Queue { get; init; }

    /// <summary>Outer UDP source ports, host order: one is chosen by the inner flow (RFC 7348, 5). At least one.</summary>
    public required ushort[] SourcePorts { get; init; }

    /// <summary>Upper six bits: DSCP of the outer header. The lower two are ignored: ECN comes from the inner packet (RFC 6040, 4.1, normal mode).</summary>
    public byte TrafficClass { get; init; }

    /// <summary>DSCP is the inner packet's (RFC 2983, uniform model), and <see cref="TrafficClass"/> not used.</summary>
    public bool CopiesDscp { get; init; }

    /// <summary>Outer TTL or hop limit of tunnel super-packets on the wire; with 255 there are none. Of datagrams the underlay sets it.</summary>
    public byte TimeToLive { get; init; } = 64;

    /// <summary>TTL and hop limit are the inner IP packet's; <see cref="TimeToLive"/> is for what is not IP.</summary>
    public bool CopiesTimeToLive { get; init; }

    /// <summary>Outer families in which TCP super-packets leave unsegmented, as <see cref="Buffers.TrainKind.TunnelSuperPacket"/>, to begin with.</summary>
    public TunnelOffload TunnelSuperPackets { get; init; }

    /// <summary>Outer IPv4 source of tunnel super-packets, host order.</summary>
    public uint LocalV4 { get; init; }

    /// <summary>Outer IPv6 source of tunnel super-packets, host order.</summary>
    public UInt128 LocalV6 { get; init; }
}
