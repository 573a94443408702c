namespace Overlay.Wire.Tests;

/// <summary>Parses bytes as every kind of header and reads every property of each view that parses.</summary>
internal static class EveryView
{
    /// <returns>A number that depends on all that was read, so that nothing is optimised away.</returns>
    public static ulong Read(ReadOnlySpan<byte> bytes)
    {
        ulong read = 0;
        if (EthernetFrame.TryParse(bytes, out EthernetFrame frame) == WireStatus.Ok) read += Read(frame);
        if (ArpPacket.TryParse(bytes, out ArpPacket arp) == WireStatus.Ok) read += Read(arp);
        if (Ipv4Packet.TryParse(bytes, out Ipv4Packet v4) == WireStatus.Ok) read += Read(v4);
        if (Ipv4Packet.TryParseHeader(bytes, out Ipv4Packet header) == WireStatus.Ok) read += ReadHeader(header);
        if (Ipv6Packet.TryParse(bytes, out Ipv6Packet v6) == WireStatus.Ok) read += Read(v6);
        if (UdpHeader.TryParse(bytes, out UdpHeader udp) == WireStatus.Ok) read += Read(udp);
        if (TcpHeader.TryParse(bytes, out TcpHeader tcp) == WireStatus.Ok) read += Read(tcp);
        if (Icmpv4Header.TryParse(bytes, out Icmpv4Header icmpv4) == WireStatus.Ok) read += Read(icmpv4);
        if (Icmpv6Header.TryParse(bytes, out Icmpv6Header icmpv6) == WireStatus.Ok) read += Read(icmpv6);
        if (NeighborMessage.TryParse(bytes, out NeighborMessage neighbor) == WireStatus.Ok) read += Read(neighbor);
        if (VxlanHeader.TryParse(bytes, out VxlanHeader vxlan) == WireStatus.Ok) read += Read(vxlan);
        if (VxlanGpeHeader.TryParse(bytes, out VxlanGpeHeader gpe) == WireStatus.Ok) read += Read(gpe);
        if (GeneveHeader.TryParse(bytes, out GeneveHeader geneve) == WireStatus.Ok) read += Read(geneve);
        if (GeneveOption.TryParse(bytes, out GeneveOption option) == WireStatus.Ok) read += Read(option);
        if (PathMessage.TryParse(bytes, out PathMessage message) == WireStatus.Ok) read += Read(message);
        return read;
    }

    /// <summary>Follows a frame from header to header, into tunnels and the packets that errors quote too, and reads everything on the way.</summary>
    public static ulong ReadLayers(ReadOnlySpan<byte> bytes)
    {
        if (EthernetFrame.TryParse(bytes, out EthernetFrame frame) != WireStatus.Ok) return 0;
        ulong read = Read(frame);
        return read + ReadPayload(frame.EtherType, frame.Payload);
    }

    private static ulong ReadPayload(ushort etherType, ReadOnlySpan<byte> payload)
    {
        switch (etherType)
        {
            case EtherTypes.Arp when ArpPacket.TryParse(payload, out ArpPacket arp) == WireStatus.Ok:
                return Read(arp);
            case EtherTypes.Ipv4 when Ipv4Packet.TryParse(payload, out Ipv4Packet v4) == WireStatus.Ok:
                return Read(v4) + ReadUpper(v4.Protocol, v4.Payload);
            case EtherTypes.Ipv6 when Ipv6Packet.TryParse(payload, out Ipv6Packet v6) == WireStatus.Ok:
                return Read(v6) + ReadUpper(v6.UpperProtocol, v6.UpperPayload);
            case EtherTypes.TransparentEthernet:
                return ReadLayers(payload);
            case EtherTypes.LocalExperimental when PathMessage.TryParse(payload, out PathMessage message) == WireStatus.Ok:
                return Read(message);
            default:
                return 0;
        }
    }

    private static ulong ReadUpper(byte protocol, ReadOnlySpan<byte> message)
    {
        switch (protocol)
        {
            case IpProtocols.Tcp when TcpHeader.TryParse(message, out TcpHeader tcp) == WireStatus.Ok:
                return Read(tcp);
            case IpProtocols.Udp when UdpHeader.TryParse(message, out UdpHeader udp) == WireStatus.Ok:
                return Read(udp) + ReadTunnel(udp.DestinationPort, udp.Payload);
            case IpProtocols.Icmpv4 when Icmpv4Header.TryParse(message, out Icmpv4Header icmp) == WireStatus.Ok:
                return Read(icmp) + (Ipv4Packet.TryParseHeader(icmp.Payload, out Ipv4Packet quoted) == WireStatus.Ok ? ReadHeader(quoted) : 0);
            case IpProtocols.Icmpv6:
                return (Icmpv6Header.TryParse(message, out Icmpv6Header icmpv6) == WireStatus.Ok ? Read(icmpv6) : 0)
                    + (NeighborMessage.TryParse(message, out NeighborMessage neighbor) == WireStatus.Ok ? Read(neighbor) : 0);
            case IpProtocols.Ipv4InIp:
                return ReadPayload(EtherTypes.Ipv4, message);
            case IpProtocols.Ipv6InIp:
                return ReadPayload(EtherTypes.Ipv6, message);
            case IpProtocols.Experimental when PathMessage.TryParse(message, out PathMessage path) == WireStatus.Ok:
                return Read(path);
            default:
                return 0;
        }
    }

    private static ulong ReadTunnel(ushort port, ReadOnlySpan<byte> datagram)
    {
        switch (port)
        {
            case VxlanHeader.DefaultPort when VxlanHeader.TryParse(datagram, out VxlanHeader vxlan) == WireStatus.Ok:
                return Read(vxlan) + ReadLayers(vxlan.Payload);
            case VxlanGpeHeader.DefaultPort when VxlanGpeHeader.TryParse(datagram, out VxlanGpeHeader gpe) == WireStatus.Ok:
                return Read(gpe) + ReadPayload(gpe.ProtocolType, gpe.Payload);
            case GeneveHeader.DefaultPort when GeneveHeader.TryParse(datagram, out GeneveHeader geneve) == WireStatus.Ok:
                return Read(geneve) + ReadPayload(geneve.ProtocolType, geneve.Payload);
            default:
                return 0;
        }
    }

    private static ulong Read(EthernetFrame view) =>
        view.Destination[0] + (ulong)view.Source[5] + view.EtherType + (ulong)view.HeaderLength + (ulong)view.VlanTagCount
        + view.OuterTag.Control + view.InnerTag.Protocol + Ends(view.Payload);

    private static ulong Read(ArpPacket view) =>
        (ulong)view.Operation + view.SenderMac[0] + view.SenderAddress + view.TargetMac[0] + view.TargetAddress;

    private static ulong Read(Ipv4Packet view) =>
        (ulong)view.HeaderLength + (ulong)view.TotalLength + view.TrafficClass + view.Identification + Bit(view.DontFragment)
        + Bit(view.MoreFragments) + (ulong)view.FragmentOffset + Bit(view.IsFragment) + view.TimeToLive + view.Protocol
        + view.HeaderChecksum + Bit(view.IsHeaderChecksumValid) + view.Source + view.Destination + Ends(view.Addresses)
        + Ends(view.Options) + Ends(view.Payload);

    /// <summary>Without its packet.</summary>
    private static ulong ReadHeader(Ipv4Packet view) =>
        (ulong)view.HeaderLength + view.TrafficClass + view.Identification + Bit(view.DontFragment) + (ulong)view.FragmentOffset + view.TimeToLive
        + view.Protocol + Bit(view.IsHeaderChecksumValid) + view.Source + view.Destination + Ends(view.Addresses) + Ends(view.Options);

    private static ulong Read(Ipv6Packet view) =>
        view.TrafficClass + (ulong)view.FlowLabel + (ulong)view.PayloadLength + view.NextHeader + view.HopLimit + (ulong)view.Source
        + (ulong)view.Destination + Ends(view.Addresses) + Ends(view.Payload) + view.UpperProtocol + (ulong)view.UpperOffset
        + Ends(view.UpperPayload) + Bit(view.HasFragmentHeader) + Bit(view.IsFragment) + (ulong)view.FragmentOffset
        + Bit(view.MoreFragments) + view.FragmentIdentification;

    private static ulong Read(UdpHeader view) =>
        view.SourcePort + (ulong)view.DestinationPort + (ulong)view.Length + view.Checksum + Ends(view.Payload);

    private static ulong Read(TcpHeader view)
    {
        ulong read = view.SourcePort + (ulong)view.DestinationPort + view.SequenceNumber + view.AcknowledgmentNumber
            + (ulong)view.HeaderLength + (ulong)view.Flags + view.Window + view.Checksum + view.UrgentPointer + Ends(view.Options)
            + Ends(view.Payload);
        var options = new TcpOptionReader(view.Options);
        while (options.TryRead(out byte kind, out ReadOnlySpan<byte> value)) read += kind + Ends(value);
        return read;
    }

    private static ulong Read(Icmpv4Header view) =>
        view.Type + (ulong)view.Code + view.Checksum + Bit(view.IsChecksumValid) + view.RestOfHeader + view.Identifier
        + view.SequenceNumber + Ends(view.Payload);

    private static ulong Read(Icmpv6Header view) =>
        view.Type + (ulong)view.Code + view.Checksum + Bit(view.IsError) + view.RestOfHeader + view.Identifier + view.SequenceNumber
        + Ends(view.Payload) + Bit(view.IsChecksumValid(stackalloc byte[32]));

    private static ulong Read(NeighborMessage view) =>
        Bit(view.IsSolicitation) + (ulong)view.Flags + (ulong)view.Target + Bit(view.HasLinkLayerAddress) + view.LinkLayerAddress[0];

    private static ulong Read(VxlanHeader view) => view.Flags + Bit(view.HasVni) + Bit(view.HasGroupPolicy) + view.GroupPolicyId + view.GroupPolicy + (ulong)view.Vni + Ends(view.Payload);

    private static ulong Read(VxlanGpeHeader view) => view.Flags + (ulong)view.Vni + view.ProtocolType + Ends(view.Payload);

    private static ulong Read(GeneveHeader view)
    {
        ulong read = (ulong)view.HeaderLength + Bit(view.IsControl) + Bit(view.HasCriticalOptions) + view.ProtocolType + view.Vni + Ends(view.Payload);
        foreach (GeneveOption option in view.Options) read += Read(option);
        return read + Ends(view.Options.Bytes);
    }

    private static ulong Read(GeneveOption view) =>
        view.Class + (ulong)view.Type + Bit(view.IsCritical) + (ulong)view.Length + Ends(view.Data);

    private static ulong Read(PathMessage view) => (ulong)view.Kind + (ulong)view.Size + view.Token;

    private static ulong Bit(bool value) => value ? 1ul : 0;

    private static ulong Ends(ReadOnlySpan<byte> bytes) => bytes.IsEmpty ? 0 : bytes[0] + (ulong)bytes[^1];
}
