using System.Runtime.CompilerServices;
using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// Everything the packet path knows, immutable, published whole by one volatile write and read once a batch. Made only by the compiler in
/// Overlay.Control.
/// </summary>
public sealed class ForwardingSnapshot(long revision, Segment[] segments, PeerTable peers)
{
    public long Revision { get; } = revision;

    /// <summary>By <see cref="Segment.Index"/>.</summary>
    public Segment[] Segments { get; } = segments;

    public PeerTable Peers { get; } = peers;

    /// <summary>Gets what arrives in IP-in-IP, which names no segment; null: nothing is taken.</summary>
    public Segment? IpInIpSegment { get; init; }

    /// <summary>This node's: outer ones and those of its devices. Host-order bits; IPv4 addresses are IPv4-mapped.</summary>
    public UInt128[] OwnAddresses { get; init; } = [];

    /// <summary>True for an address of this node or the outer one of a peer: no source of a packet out of a tunnel (RFC 2003, 4).</summary>
    public bool IsOwnOrTunnelEnd(UInt128 address) => OwnAddresses.AsSpan().Contains(address) || Peers.Find(address) is not null;

    /// <summary>The segment of a VNI, or null. Segments are few; a linear scan stays in one cache line.</summary>
    public Segment? FindSegment(uint vni)
    {
        foreach (Segment segment in Segments)
        {
            if (segment.Vni == vni) return segment;
        }
        return null;
    }
}

/// <summary>A virtual network: one VNI, one device, one route table, one format to send in.</summary>
public sealed class Segment(
    int index, string name, uint vni, MacAddress deviceMac, int mtu, RouteTable routes, Peer[] peers, TunnelFormat tunnel)
{
    /// <summary>Equals no datagram's.</summary>
    public const uint NoVni = uint.MaxValue;

    private readonly uint[] _knownOptions = [.. CriticalOptions(tunnel.GeneveOptions)];

    /// <summary>Position among the snapshot's segments and among a worker's devices; stable across reloads.</summary>
    public int Index { get; } = index;

    public string Name { get; } = name;

    /// <summary>24-bit virtual network identifier; <see cref="NoVni"/> where there is none.</summary>
    public uint Vni { get; } = vni;

    /// <summary>MAC of our device: inner source of what we send, inner destination of what we accept.</summary>
    public MacAddress DeviceMac { get; } = deviceMac;

    /// <summary>MTU of our device: most bytes of an inner IP packet.</summary>
    public int Mtu { get; } = mtu;

    /// <summary>Inner destination prefix to <see cref="RouteTarget.Value"/>: of a peer its index into <see cref="Peers"/>.</summary>
    public RouteTable Routes { get; } = routes;

    /// <summary>What routes with several peers lead to.</summary>
    public PeerGroup[] Groups { get; init; } = [];

    /// <summary>The endpoints have the port of the segment's encapsulation.</summary>
    public Peer[] Peers { get; } = peers;

    public TunnelFormat Tunnel { get; } = tunnel;

    /// <summary>Null in a routed segment. In a bridged one frames are forwarded by MAC, and there are no routes.</summary>
    public Bridge? Bridge { get; init; }

    /// <summary>The tunnel header of every datagram, the same for all peers.</summary>
    public byte[] TunnelHeader { get; } = tunnel.Template(vni, default, default)[..tunnel.HeaderLength];

    /// <summary>By index into <see cref="Peers"/>: what <see cref="TunnelFormat.Template"/> gives.</summary>
    public byte[][] Templates { get; } = [.. peers.Select(peer => tunnel.Template(vni, peer.Mac, deviceMac))];

    /// <summary>Bytes of the tunnel header.</summary>
    public int HeaderLength { get; } = tunnel.HeaderLength;

    /// <summary>Bytes from the tunnel header to an untagged IP packet.</summary>
    public int PrefixLength { get; } = tunnel.PrefixLength;

    /// <summary>Bytes of the outer IP and UDP header, over IPv4.</summary>
    public int OuterLengthV4 { get; } = tunnel.OuterLength(overIpv6: false);

    /// <summary>Bytes of the outer IP and UDP header, over IPv6.</summary>
    public int OuterLengthV6 { get; } = tunnel.OuterLength(overIpv6: true);

    /// <summary>The value of the longest prefix that covers an inner packet's destination, or <see cref="RouteTable.NoRoute"/>.</summary>
    public int Route(in InnerPacket packet) => packet.IsIpv4 ? Routes.LookupV4(packet.DestinationV4) : Routes.LookupV6(packet.DestinationV6);

    /// <summary>The peer of a flow by what its route says.</summary>
    /// <param name="value">What a lookup in <see cref="Routes"/> returned.</param>
    /// <param name="flowHash">Chooses among several.</param>
    /// <returns>Index into <see cref="Peers"/>, or <see cref="RouteTarget.NoPeer"/> where there is no route or it names no peer.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int PeerOf(int value, uint flowHash) => (uint)value < RouteTarget.MostIndexes ? value : PeerOfOther(value, flowHash);

    private int PeerOfOther(int value, uint flowHash)
    {
        if (value == RouteTable.NoRoute) return RouteTarget.NoPeer;
        RouteTarget target = RouteTarget.Of(value);
        return target.Action == RouteAction.Group ? Groups[target.Index].Choose(flowHash) : RouteTarget.NoPeer;
    }

    /// <summary>True where the longest prefix that covers a packet's source leads to a peer, or to a group that it is a member of.</summary>
    /// <param name="peer">Whom the packet came from.</param>
    /// <param name="packet">An IP packet.</param>
    /// <param name="frame">The frame that was parsed.</param>
    public bool IsReversePath(Peer peer, in InnerPacket packet, ReadOnlySpan<byte> frame)
    {
        UInt128 source = packet.Source(frame);
        int value = packet.IsIpv4 ? Routes.LookupV4((uint)source) : Routes.LookupV6(source);
        if ((uint)value < RouteTarget.MostIndexes) return IsAt(value);
        if (value == RouteTable.NoRoute) return false;
        RouteTarget target = RouteTarget.Of(value);
        if (target.Action != RouteAction.Group) return false;
        foreach (int member in Groups[target.Index].Peers)
        {
            if (IsAt(member)) return true;
        }
        return false;

        bool IsAt(int index) => Peers[index].Endpoint.Address == peer.Endpoint.Address;
    }

    /// <summary>Most bytes from the tunnel header on that the way to a peer carries in one piece.</summary>
    public int RoomTo(Peer peer) => peer.Path.Mtu - OuterLengthTo(peer);

    /// <summary>Bytes of the outer headers in front of the tunnel header.</summary>
    public int OuterLengthTo(Peer peer) => peer.Endpoint.IsIPv4 ? OuterLengthV4 : OuterLengthV6;

    /// <summary>UDP port of peers in this segment; null: that of each one's endpoint.</summary>
    public ushort? PeerPort { get; init; }

    /// <summary>A peer as this segment reaches it: at the port of the encapsulation, with its device's MAC where that is known.</summary>
    public Peer Reach(Peer peer) =>
        Array.Find(Peers, each => each.Name == peer.Name) ?? peer.At(PeerPort ?? peer.Endpoint.Port, peer.Mac);

    /// <summary>Free bytes that a frame of the device must have in front of it.</summary>
    public int Headroom { get; } = Math.Max(tunnel.PrefixLength - EthernetFrame.MinHeaderLength, 0);

    /// <summary>Where the EtherType is to be written, counted from the end of what precedes the IP packet.</summary>
    public int EtherTypeOffset { get; } = tunnel.IsBareIp && !tunnel.IsIpInIp ? 2 - tunnel.PrefixLength : -2;

    /// <summary>All ones where VLAN tags are kept, else zero.</summary>
    public int VlanMask { get; } = tunnel.KeepsVlanTags ? -1 : 0;

    /// <summary><see cref="TunnelFormat.MarksGroupPolicy"/>.</summary>
    public bool MarksGroupPolicy { get; } = tunnel.MarksGroupPolicy;

    /// <summary>Bits of a received group policy that are obeyed.</summary>
    public uint GroupPolicyMask { get; } = tunnel.UsesGroupPolicy ? VxlanHeader.GroupPolicyMask : 0;

    /// <summary>Most VLAN tags that a received frame may have.</summary>
    public int MaxVlanTags { get; } = tunnel.KeepsVlanTags ? EthernetFrame.MaxVlanTags : 0;

    /// <summary>Outer families in which the kernel can segment behind this segment's headers.</summary>
    public TunnelOffload TunnelSuperPackets { get; } = tunnel.KernelSegments ? TunnelOffload.Ipv4 | TunnelOffload.Ipv6 : TunnelOffload.None;

    /// <summary>True for a critical option that is written here as well.</summary>
    public bool KnowsOption(ushort optionClass, byte type) => _knownOptions.AsSpan().Contains((uint)optionClass << 8 | type);

    private static List<uint> CriticalOptions(ReadOnlySpan<byte> options)
    {
        var known = new List<uint>();
        while (GeneveOption.TryParse(options, out GeneveOption option) == WireStatus.Ok)
        {
            if (option.IsCritical) known.Add((uint)option.Class << 8 | option.Type);
            options = options[option.Length..];
        }
        return known;
    }
}

/// <summary>The slot through which a new snapshot reaches the workers.</summary>
public sealed class SnapshotSlot(ForwardingSnapshot initial)
{
    private volatile ForwardingSnapshot _current = initial;

    public ForwardingSnapshot Current
    {
        get => _current;
        set => _current = value;
    }
}
