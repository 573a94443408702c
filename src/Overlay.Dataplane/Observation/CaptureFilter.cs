using System.Buffers.Binary;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Dataplane.Observation;

/// <summary>Which packets a capture wants; what is null does not matter. Immutable, used by any thread.</summary>
public sealed record CaptureFilter
{
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
        bool isHostOutside = Host is not null && IsHost(remote);
        InnerAddresses inner = InnerAddresses.Of(etherType, packet);
        if (Host is not null && !isHostOutside && !(inner.IsIp && (IsHost(inner.Source) || IsHost(inner.Destination)))) return false;
        if (Protocol is { } protocol && !(inner.IsIp && inner.Protocol == protocol)) return false;
        return Port is not { } port || (inner.HasPorts && (inner.SourcePort == port || inner.DestinationPort == port));
    }

    /// <summary>Whether a packet is wanted of which all is known.</summary>
    /// <param name="bytes">Those that were kept.</param>
    public bool Takes(in PacketRecord record, ReadOnlySpan<byte> bytes)
    {
        if ((DroppedOnly && record.Verdict != PacketVerdict.Dropped) || (At is { } at && record.At != at)) return false;
        if (!TakesSegment(record.Segment) || !TakesPeer(record.Peer)) return false;
        if (record.At == ObservedAt.Inner) return TakesFrame(bytes, 0);
        return record.Segment is { } segment
            ? InnerPart.Behind(bytes, segment.HeaderLength, segment.Tunnel.IsBareIp).IsWanted(this, bytes, record.Remote.Address)
            : TakesPacket(0, default, record.Remote.Address);
    }

    private bool IsHost(UInt128 address) => HostBits == 0 || (address ^ Host!.Value) >> (128 - HostBits) == 0;

    /// <summary>The fields that filters look at, of a frame that may be cut short.</summary>
    private readonly record struct InnerAddresses(
        bool IsIp, UInt128 Source, UInt128 Destination, byte Protocol, bool HasPorts, ushort SourcePort, ushort DestinationPort)
    {
        private const int PortsLength = 4;

        public static InnerAddresses Of(ushort etherType, ReadOnlySpan<byte> ip)
        {
            if (etherType == EtherTypes.Ipv4 && Ipv4Packet.TryParseHeader(ip, out Ipv4Packet v4) == WireStatus.Ok)
                return WithPorts(IpBits.Mapped(v4.Source), IpBits.Mapped(v4.Destination), v4.Protocol, v4.IsFragment && v4.FragmentOffset > 0, ip[v4.HeaderLength..]);
            if (etherType != EtherTypes.Ipv6 || ip.Length < Ipv6Packet.HeaderLength || ip[0] >> 4 != 6) return default;
            (UInt128 source, UInt128 destination) = (BinaryPrimitives.ReadUInt128BigEndian(ip[8..]), BinaryPrimitives.ReadUInt128BigEndian(ip[24..]));
            return Ipv6Packet.TryParse(ip, out Ipv6Packet v6) == WireStatus.Ok
                ? WithPorts(source, destination, v6.UpperProtocol, v6.IsFragment, v6.UpperPayload)
                : WithPorts(source, destination, ip[6], false, ip[Ipv6Packet.HeaderLength..]);
        }

        private static InnerAddresses WithPorts(UInt128 source, UInt128 destination, byte protocol, bool isLaterFragment, ReadOnlySpan<byte> transport)
        {
            bool has = protocol is IpProtocols.Tcp or IpProtocols.Udp && !isLaterFragment && transport.Length >= PortsLength;
            return new InnerAddresses(
                true, source, destination, protocol, has, has ? BinaryPrimitives.ReadUInt16BigEndian(transport) : (ushort)0,
                has ? BinaryPrimitives.ReadUInt16BigEndian(transport[2..]) : (ushort)0);
        }
    }
}
