using System.Runtime.InteropServices;

namespace Overlay.Wire.Tests;

/// <summary>Writes with the writers of each header what its view reads, layer by layer.</summary>
internal static class Rewrite
{
    /// <returns>Bytes written.</returns>
    public static int Frame(ReadOnlySpan<byte> bytes, Span<byte> copy)
    {
        Assert.Equal(WireStatus.Ok, EthernetFrame.TryParse(bytes, out EthernetFrame frame));
        VlanTag[] tags = [frame.OuterTag, frame.InnerTag];
        int length = EthernetFrame.WriteHeader(copy, frame.Destination, frame.Source, tags.AsSpan(0, frame.VlanTagCount), frame.EtherType);
        Assert.Equal(frame.HeaderLength, length);
        Span<byte> payload = copy[length..];
        return length + frame.EtherType switch
        {
            EtherTypes.Arp => Arp(frame.Payload, payload),
            EtherTypes.Ipv4 => Ipv4(frame.Payload, payload),
            EtherTypes.Ipv6 => Ipv6(frame.Payload, payload),
            _ => Copy(frame.Payload, payload),
        };
    }

    public static Ipv4Fields Fields(Ipv4Packet view) => new()
    {
        TrafficClass = view.TrafficClass,
        TotalLength = view.TotalLength,
        Identification = view.Identification,
        DontFragment = view.DontFragment,
        MoreFragments = view.MoreFragments,
        FragmentOffset = view.FragmentOffset,
        TimeToLive = view.TimeToLive,
        Protocol = view.Protocol,
        Source = view.Source,
        Destination = view.Destination,
    };

    public static Ipv6Fields Fields(Ipv6Packet view) => new()
    {
        TrafficClass = view.TrafficClass,
        FlowLabel = view.FlowLabel,
        PayloadLength = view.PayloadLength,
        NextHeader = view.NextHeader,
        HopLimit = view.HopLimit,
        Source = view.Source,
        Destination = view.Destination,
    };

    public static TcpFields Fields(TcpHeader view) => new()
    {
        SourcePort = view.SourcePort,
        DestinationPort = view.DestinationPort,
        SequenceNumber = view.SequenceNumber,
        AcknowledgmentNumber = view.AcknowledgmentNumber,
        Flags = view.Flags,
        Window = view.Window,
        UrgentPointer = view.UrgentPointer,
    };

    private static int Arp(ReadOnlySpan<byte> packet, Span<byte> copy)
    {
        Assert.Equal(WireStatus.Ok, ArpPacket.TryParse(packet, out ArpPacket arp));
        ArpPacket.Write(copy, arp.Operation, arp.SenderMac, arp.SenderAddress, arp.TargetMac, arp.TargetAddress);
        return ArpPacket.Length + Copy(packet[ArpPacket.Length..], copy[ArpPacket.Length..]);
    }

    private static int Ipv4(ReadOnlySpan<byte> bytes, Span<byte> copy)
    {
        Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(bytes, out Ipv4Packet packet));
        Assert.True(packet.IsHeaderChecksumValid);
        int header = Ipv4Packet.WriteHeader(copy, Fields(packet), packet.Options);
        int payload = packet.IsFragment ? Copy(packet.Payload, copy[header..]) : Upper(packet.Protocol, packet.Payload, copy[header..]);
        return header + payload + Copy(bytes[packet.TotalLength..], copy[(header + payload)..]);
    }

    private static int Ipv6(ReadOnlySpan<byte> bytes, Span<byte> copy)
    {
        Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(bytes, out Ipv6Packet packet));
        Ipv6Packet.WriteHeader(copy, Fields(packet));
        Copy(bytes[Ipv6Packet.HeaderLength..packet.UpperOffset], copy[Ipv6Packet.HeaderLength..]);
        Span<byte> upper = copy[packet.UpperOffset..];
        int payload = packet switch
        {
            { IsFragment: true } => Copy(packet.UpperPayload, upper),
            { UpperProtocol: IpProtocols.Icmpv6 } => Icmpv6(packet, upper),
            _ => Upper(packet.UpperProtocol, packet.UpperPayload, upper),
        };
        return packet.UpperOffset + payload;
    }

    private static int Icmpv6(Ipv6Packet packet, Span<byte> copy)
    {
        Assert.Equal(WireStatus.Ok, Icmpv6Header.TryParse(packet.UpperPayload, out Icmpv6Header icmp));
        Assert.True(icmp.IsChecksumValid(packet.Addresses));
        if (NeighborMessage.TryParse(packet.UpperPayload, out NeighborMessage neighbor) == WireStatus.Ok)
        {
            if (!neighbor.IsSolicitation)
            {
                return NeighborMessage.WriteAdvertisement(
                    copy, packet.Source, packet.Destination, neighbor.Target, neighbor.Flags, neighbor.LinkLayerAddress);
            }
            MacAddress? address = neighbor.HasLinkLayerAddress ? neighbor.LinkLayerAddress : null;
            return NeighborMessage.WriteSolicitation(copy, packet.Source, packet.Destination, neighbor.Target, address);
        }
        int length = Icmpv6Header.Length + Copy(icmp.Payload, copy[Icmpv6Header.Length..]);
        Icmpv6Header.Write(copy[..length], packet.Source, packet.Destination, icmp.Type, icmp.Code, icmp.RestOfHeader);
        return length;
    }

    private static int Upper(byte protocol, ReadOnlySpan<byte> message, Span<byte> copy)
    {
        switch (protocol)
        {
            case IpProtocols.Tcp:
                Assert.Equal(WireStatus.Ok, TcpHeader.TryParse(message, out TcpHeader tcp));
                int header = TcpHeader.Write(copy, Fields(tcp), tcp.Options, NativeOrder(tcp.Checksum));
                return header + Copy(tcp.Payload, copy[header..]);
            case IpProtocols.Udp:
                Assert.Equal(WireStatus.Ok, UdpHeader.TryParse(message, out UdpHeader udp));
                UdpHeader.Write(copy, udp.SourcePort, udp.DestinationPort, udp.Length, NativeOrder(udp.Checksum));
                Span<byte> payload = copy[UdpHeader.HeaderLength..];
                bool isVxlan = udp.DestinationPort == VxlanHeader.DefaultPort;
                return UdpHeader.HeaderLength + (isVxlan ? Vxlan(udp.Payload, payload) : Copy(udp.Payload, payload));
            case IpProtocols.Icmpv4:
                Assert.Equal(WireStatus.Ok, Icmpv4Header.TryParse(message, out Icmpv4Header icmp));
                Assert.True(icmp.IsChecksumValid);
                int length = Icmpv4Header.Length + Copy(icmp.Payload, copy[Icmpv4Header.Length..]);
                Icmpv4Header.Write(copy[..length], icmp.Type, icmp.Code, icmp.RestOfHeader);
                return length;
            default:
                return Copy(message, copy);
        }
    }

    private static int Vxlan(ReadOnlySpan<byte> datagram, Span<byte> copy)
    {
        Assert.Equal(WireStatus.Ok, VxlanHeader.TryParse(datagram, out VxlanHeader vxlan));
        Assert.True(vxlan.HasVni);
        VxlanHeader.Write(copy, vxlan.Vni);
        return VxlanHeader.Length + Frame(vxlan.Payload, copy[VxlanHeader.Length..]);
    }

    private static ushort NativeOrder(ushort hostOrder)
    {
        ReadOnlySpan<byte> field = [(byte)(hostOrder >> 8), (byte)hostOrder];
        return MemoryMarshal.Read<ushort>(field);
    }

    private static int Copy(ReadOnlySpan<byte> bytes, Span<byte> copy)
    {
        bytes.CopyTo(copy);
        return bytes.Length;
    }
}
