using System.Net;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Linux.Underlay;

/// <summary>How one queue of the underlay binds and what its datagrams look like.</summary>
public sealed record UdpUnderlayOptions
{
    /// <summary>Local outer addresses, at most one a family; a family without one is not used.</summary>
    public required IReadOnlyList<IPAddress> Addresses { get; init; }

    /// <summary>Interface to bind to (SO_BINDTODEVICE); null for none.</summary>
    public string? Interface { get; init; }

    /// <summary>UDP ports that tunnels are received on, each once; none: it only sends. VXLAN: 4789 (RFC 7348, 8.1), Geneve: 6081 (RFC 8926, 3.3).</summary>
    public IReadOnlyList<TunnelPort> Ports { get; init; } = [new TunnelPort(VxlanHeader.DefaultPort, Encapsulation.Vxlan)];

    /// <summary>Where the outer UDP checksum may be zero.</summary>
    public ZeroChecksums ZeroChecksums { get; init; }

    /// <summary>IPv4 TTL or IPv6 hop limit of what is sent.</summary>
    public byte TimeToLive { get; init; } = 64;

    /// <summary>Source ports that carry the entropy of inner flows (RFC 7348, 5).</summary>
    public int SourcePortCount { get; init; } = 256;

    /// <summary>
    /// A queue whose source ports to send from, so that a flow keeps its port when it moves between queues; null: ports of its own. It stays
    /// its owner's and outlives this one.
    /// </summary>
    public UdpUnderlay? SourcePortsOf { get; init; }

    /// <summary>Queues that receive on <see cref="Ports"/> together.</summary>
    public int QueueCount { get; init; } = 1;

    /// <summary>False: the kernel is given one datagram a message, and cuts nothing (UDP_SEGMENT).</summary>
    public bool SendsTrains { get; init; } = true;

    /// <summary>False: datagrams arrive one at a time (no UDP_GRO).</summary>
    public bool ReceivesTrains { get; init; } = true;

    /// <summary>Takes tunnel super-packets; null where there is none. It stays its owner's.</summary>
    public TunnelInjector? Injector { get; init; }
}
