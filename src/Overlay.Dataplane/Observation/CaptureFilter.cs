using System.Buffers.Binary;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Dataplane.Observation;

/// <summary>Which packets a capture wants; what is null does not matter. Immutable, used by any thread.</summary>
public sealed record CaptureFilter
{
    private const int PortsLength = 4;
    private const int NextHeaderOffset = 6;

    /// <summary>Name of the peer.</summary>
    public string? Peer { get; init; }

    /// <summary>Name of the segment.</summary>
    public string? Segment { get; init; }

    /// <summary>Address of either end, inner or outer; host-order bits, an IPv4 address IPv4-mapped.</summary>
    public UInt128? Host { get; init; }

    /// <summary>Leading bits of <see cref="Host"/> that have to agree.</summary>
    public int HostBits { get; init; } = 128;

    /// <summary>Inner TCP or UDP port of either end.</summary>
    public ushort? Port { get; init; }

    /// <summary>Inner IP protocol.</summary>
    public byte? Protocol { get; init; }

    /// <summary>Only what was dropped.</summary>
    public bool DroppedOnly { get; init; }

    /// <summary>Only what is seen there.</summary>
    public ObservedAt? At { get; init; }

    private bool LooksInside => Host is not null || Port is not null || Protocol is not null;

    public bool TakesSegment(Segment? segment) => Segment is null || segment?.Name == Segment;

    public bool TakesPeer(Peer? peer) => Peer is null || peer?.Name == Peer;

    /// <summary>Whether a frame of a device, or the inner frame of a datagram, is wanted for what is in it.</summary>
    /// <param name="frame">From the Ethernet header on; it may be cut short.</param>
    /// <param name="remote">Outer address of the other end, or 0.</param>
    public bool TakesFrame(ReadOnlySpan<byte> frame, UInt128 remote)
    {
        if (!LooksInside) return true;
        return EthernetFrame.TryParse(frame, out EthernetFrame ethernet) == WireStatus.Ok
            ? TakesPacket(ethernet.EtherType, frame[ethernet.HeaderLength..], remote)
            : TakesPacket(0, default, remote);
    }

    /// <summary>As <see cref="TakesFrame"/>, for what follows an Ethernet header, or stands without one.</summary>
    /// <param name="etherType">What it is.</param>
    /// <param name="packet">It may be cut short.</param>
    /// <param name="remote">Outer address of the other end, or 0.</param>
    public bool TakesPacket(ushort etherType, ReadOnlySpan<byte> packet, UInt128 remote)
    {
        if (!LooksInside) return true;
        // The cheapest comparison first: most packets fail it.
        switch (etherType)
        {
            case EtherTypes.Ipv4 when Ipv4Packet.TryParseHeader(packet, out Ipv4Packet v4) == WireStatus.Ok:
                return TakesTransport(v4.Protocol, v4.FragmentOffset > 0, packet[v4.HeaderLength..]) && (Host is null || IsHost(remote) || IsEither(IpBits.Mapped(v4.Source), IpBits.Mapped(v4.Destination)));
            case EtherTypes.Ipv6 when packet.Length >= Ipv6Packet.HeaderLength && packet[0] >> 4 == 6:
                return TakesIpv6(packet) && (Host is null || IsHost(remote) || IsEither(BinaryPrimitives.ReadUInt128BigEndian(packet[8..]), BinaryPrimitives.ReadUInt128BigEndian(packet[24..])));
            case EtherTypes.Arp when ArpPacket.TryParse(packet, out ArpPacket arp) == WireStatus.Ok:
                return Protocol is null && Port is null && (IsHost(remote) || IsEither(IpBits.Mapped(arp.SenderAddress), IpBits.Mapped(arp.TargetAddress)));
            default:
                return Protocol is null && Port is null && IsHost(remote);
        }
    }

    /// <summary>Whether a packet is wanted of which all is known.</summary>
    /// <param name="bytes">Those that were kept.</param>
    public bool Takes(in PacketRecord record, ReadOnlySpan<byte> bytes)
    {
        if ((DroppedOnly && record.Verdict != PacketVerdict.Dropped) || (At is { } at && record.At != at)) return false;
        if (!TakesSegment(record.Segment) || !TakesPeer(record.Peer)) return false;
        return TakesBytes(record, bytes);
    }

    /// <summary>Whether a packet is wanted for what is in it.</summary>
    internal bool TakesBytes(in PacketRecord record, ReadOnlySpan<byte> bytes)
    {
        if (!LooksInside) return true;
        if (record.At == ObservedAt.Inner) return TakesFrame(bytes, 0);
        if (!record.IsEgress) return InnerPart.Received(record.Encapsulation, bytes).IsWanted(this, bytes, record.Remote.Address);
        // Behind UDP a path message holds no IP packet, and has a header of its own length.
        bool holdsPacket = record.Verdict != PacketVerdict.PathMessage || record.Protocol != 0;
        return record.Segment is { } segment && holdsPacket
            ? InnerPart.Behind(bytes, segment.HeaderLength, segment.Tunnel.IsBareIp).IsWanted(this, bytes, record.Remote.Address)
            : TakesPacket(0, default, record.Remote.Address);
    }

    private bool TakesIpv6(ReadOnlySpan<byte> packet)
    {
        if (packet[NextHeaderOffset] is not (IpProtocols.Tcp or IpProtocols.Udp or IpProtocols.Icmpv6) && Ipv6Packet.TryParse(packet, out Ipv6Packet v6) == WireStatus.Ok)
            return TakesTransport(v6.UpperProtocol, v6.FragmentOffset > 0, v6.UpperPayload);
        return TakesTransport(packet[NextHeaderOffset], false, packet[Ipv6Packet.HeaderLength..]);
    }

    private bool TakesTransport(byte protocol, bool isLaterFragment, ReadOnlySpan<byte> transport)
    {
        if (Protocol is { } wanted && protocol != wanted) return false;
        if (Port is not { } port) return true;
        return protocol is IpProtocols.Tcp or IpProtocols.Udp && !isLaterFragment && transport.Length >= PortsLength
            && (BinaryPrimitives.ReadUInt16BigEndian(transport) == port || BinaryPrimitives.ReadUInt16BigEndian(transport[2..]) == port);
    }

    private bool IsEither(UInt128 source, UInt128 destination) => IsHost(source) || IsHost(destination);

    private bool IsHost(UInt128 address) => HostBits == 0 || (address ^ Host!.Value) >> (128 - HostBits) == 0;
}
