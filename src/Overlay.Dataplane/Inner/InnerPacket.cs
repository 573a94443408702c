using System.Buffers.Binary;
using Overlay.Wire;

namespace Overlay.Dataplane.Inner;

/// <summary>
/// Where things are in an inner frame: offsets from the Ethernet header, found and checked once and kept beyond the life of a view.
/// All offsets lie inside the frame that was parsed.
/// </summary>
public struct InnerPacket
{
    /// <summary>EtherType behind any VLAN tags.</summary>
    public ushort EtherType;

    /// <summary>VLAN tags in front of the EtherType.</summary>
    public byte VlanTags;

    /// <summary>IPv4 protocol, or the IPv6 next header behind the extension headers; 0 where the packet is not IP.</summary>
    public byte Protocol;

    /// <summary>IPv4 TOS or IPv6 traffic class: DSCP and ECN.</summary>
    public byte TrafficClass;

    /// <summary>IPv4 TTL or IPv6 hop limit; 0 where the packet is not IP.</summary>
    public byte TimeToLive;

    /// <summary>The bytes of the Ethernet header are not the packet's own: it came without one, and nothing may be read there or written.</summary>
    public bool IsBareIp;

    /// <summary>True for a fragment, the first included: there is no complete transport packet.</summary>
    public bool IsFragment;

    /// <summary>Where the IP, ARP or other header behind Ethernet starts.</summary>
    public int NetworkOffset;

    /// <summary>Behind IPv4 options or IPv6 extension headers. Equals <see cref="End"/> at most.</summary>
    public int TransportOffset;

    /// <summary>End of a complete TCP or UDP header; equals <see cref="TransportOffset"/> where there is none.</summary>
    public int HeadersEnd;

    /// <summary>End of the UDP payload by UDP's own length; otherwise equal to <see cref="End"/>.</summary>
    public int TransportEnd;

    /// <summary>End of the IP packet: what follows in the frame is padding. The frame's end where the packet is not IP.</summary>
    public int End;

    /// <summary>IPv4 destination, host order.</summary>
    public uint DestinationV4;

    /// <summary>IPv6 destination, host order.</summary>
    public UInt128 DestinationV6;

    /// <summary>Hash of addresses, protocol and ports; of a fragment without the ports, so that all fragments of a packet agree. 0 where the packet is not IP.</summary>
    public uint FlowHash;

    public readonly bool IsIpv4 => EtherType == EtherTypes.Ipv4;

    public readonly bool IsIpv6 => EtherType == EtherTypes.Ipv6;

    /// <summary>True when a complete TCP or UDP header is there.</summary>
    public readonly bool HasTransport => HeadersEnd > TransportOffset;

    /// <summary>Source address of an IP packet, host-order bits; that of IPv4 is IPv4-mapped.</summary>
    /// <param name="frame">The frame that was parsed.</param>
    public readonly UInt128 Source(ReadOnlySpan<byte> frame) => IsIpv4
        ? IpBits.Mapped(BinaryPrimitives.ReadUInt32BigEndian(frame[(NetworkOffset + 12)..]))
        : BinaryPrimitives.ReadUInt128BigEndian(frame[(NetworkOffset + 8)..]);

    /// <summary>Explicit congestion notification: the lower two bits of the traffic class.</summary>
    public readonly byte Ecn => (byte)(TrafficClass & 3);

    /// <summary>
    /// Anything but <see cref="WireStatus.Ok"/> where the Ethernet or IP header is malformed. A malformed transport header is the receiver's
    /// business: it only leaves <see cref="HasTransport"/> false.
    /// </summary>
    public static WireStatus TryParse(ReadOnlySpan<byte> frame, out InnerPacket packet)
    {
        packet = default;
        WireStatus status = EthernetFrame.TryParse(frame, out EthernetFrame ethernet);
        if (status != WireStatus.Ok) return status;
        packet.EtherType = ethernet.EtherType;
        packet.VlanTags = (byte)ethernet.VlanTagCount;
        packet.NetworkOffset = packet.TransportOffset = packet.HeadersEnd = ethernet.HeaderLength;
        packet.End = packet.TransportEnd = frame.Length;
        return packet.EtherType switch
        {
            EtherTypes.Ipv4 => packet.ParseV4(frame[ethernet.HeaderLength..]),
            EtherTypes.Ipv6 => packet.ParseV6(frame[ethernet.HeaderLength..]),
            _ => WireStatus.Ok,
        };
    }

    /// <summary>A frame that is forwarded by its Ethernet header: what lies behind is looked at where it is sound, and else like any other payload.</summary>
    /// <returns>Anything but <see cref="WireStatus.Ok"/> where the Ethernet header is malformed.</returns>
    public static WireStatus TryParseFrame(ReadOnlySpan<byte> frame, out InnerPacket packet)
    {
        if (TryParse(frame, out packet) == WireStatus.Ok) return WireStatus.Ok;
        packet = default;
        WireStatus status = EthernetFrame.TryParse(frame, out EthernetFrame ethernet);
        if (status != WireStatus.Ok) return status;
        packet.VlanTags = (byte)ethernet.VlanTagCount;
        packet.NetworkOffset = packet.TransportOffset = packet.HeadersEnd = ethernet.HeaderLength;
        packet.End = packet.TransportEnd = frame.Length;
        return WireStatus.Ok;
    }

    /// <summary>An IP packet that came without an Ethernet header.</summary>
    /// <param name="frame">The packet, and in front of it as many bytes of anything as an Ethernet header has.</param>
    /// <param name="etherType">That of IPv4 or IPv6.</param>
    /// <param name="packet">Offsets in <paramref name="frame"/>.</param>
    public static WireStatus TryParseBare(ReadOnlySpan<byte> frame, ushort etherType, out InnerPacket packet)
    {
        packet = default;
        packet.EtherType = etherType;
        packet.IsBareIp = true;
        packet.NetworkOffset = EthernetFrame.MinHeaderLength;
        ReadOnlySpan<byte> ip = frame[EthernetFrame.MinHeaderLength..];
        return packet.IsIpv4 ? packet.ParseV4(ip) : packet.ParseV6(ip);
    }

    private WireStatus ParseV4(ReadOnlySpan<byte> bytes)
    {
        WireStatus status = Ipv4Packet.TryParse(bytes, out Ipv4Packet ip);
        if (status != WireStatus.Ok) return status;
        Protocol = ip.Protocol;
        TrafficClass = ip.TrafficClass;
        TimeToLive = ip.TimeToLive;
        IsFragment = ip.IsFragment;
        DestinationV4 = ip.Destination;
        TransportOffset = NetworkOffset + ip.HeaderLength;
        End = NetworkOffset + ip.TotalLength;
        FlowHash = Inner.FlowHash.OfV4(ip.Source, ip.Destination, ParseTransport(ip.Payload), ip.Protocol);
        return WireStatus.Ok;
    }

    private WireStatus ParseV6(ReadOnlySpan<byte> bytes)
    {
        WireStatus status = Ipv6Packet.TryParse(bytes, out Ipv6Packet ip);
        if (status != WireStatus.Ok) return status;
        Protocol = ip.UpperProtocol;
        TrafficClass = ip.TrafficClass;
        TimeToLive = ip.HopLimit;
        IsFragment = ip.IsFragment;
        DestinationV6 = ip.Destination;
        TransportOffset = NetworkOffset + ip.UpperOffset;
        End = NetworkOffset + Ipv6Packet.HeaderLength + ip.PayloadLength;
        FlowHash = Inner.FlowHash.OfV6(ip.Source, ip.Destination, ParseTransport(ip.UpperPayload), ip.UpperProtocol);
        return WireStatus.Ok;
    }

    /// <returns>The ports, source in the upper half; 0 where there are none.</returns>
    private uint ParseTransport(ReadOnlySpan<byte> bytes)
    {
        HeadersEnd = TransportOffset;
        TransportEnd = End;
        if (IsFragment) return 0;
        if (Protocol == IpProtocols.Tcp && TcpHeader.TryParse(bytes, out TcpHeader tcp) == WireStatus.Ok)
        {
            HeadersEnd += tcp.HeaderLength;
            return (uint)tcp.SourcePort << 16 | tcp.DestinationPort;
        }
        if (Protocol == IpProtocols.Udp && UdpHeader.TryParse(bytes, out UdpHeader udp) == WireStatus.Ok)
        {
            HeadersEnd += UdpHeader.HeaderLength;
            TransportEnd = TransportOffset + udp.Length;
            return (uint)udp.SourcePort << 16 | udp.DestinationPort;
        }
        return 0;
    }
}
