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
        if (Ipv6Packet.TryParse(bytes, out Ipv6Packet v6) == WireStatus.Ok) read += Read(v6);
        if (UdpHeader.TryParse(bytes, out UdpHeader udp) == WireStatus.Ok) read += Read(udp);
        if (TcpHeader.TryParse(bytes, out TcpHeader tcp) == WireStatus.Ok) read += Read(tcp);
        if (Icmpv4Header.TryParse(bytes, out Icmpv4Header icmpv4) == WireStatus.Ok) read += Read(icmpv4);
        if (Icmpv6Header.TryParse(bytes, out Icmpv6Header icmpv6) == WireStatus.Ok) read += Read(icmpv6);
        if (NeighborMessage.TryParse(bytes, out NeighborMessage neighbor) == WireStatus.Ok) read += Read(neighbor);
        if (VxlanHeader.TryParse(bytes, out VxlanHeader vxlan) == WireStatus.Ok) read += Read(vxlan);
        if (VxlanGpeHeader.TryParse(bytes, out VxlanGpeHeader gpe) == WireStatus.Ok) read += Read(gpe);
        if (GeneveHeader.TryParse(bytes, out GeneveHeader geneve) == WireStatus.Ok) read += Read(geneve);
        return read;
    }

    /// <summary>Follows a frame from header to header, into a tunnel too, and reads everything on the way.</summary>
    public static ulong ReadLayers(ReadOnlySpan<byte> bytes)
    {
        if (EthernetFrame.TryParse(bytes, out EthernetFrame frame) != WireStatus.Ok) return 0;
        ulong read = Read(frame);
        if (frame.EtherType == EtherTypes.Arp && ArpPacket.TryParse(frame.Payload, out ArpPacket arp) == WireStatus.Ok)
            return read + Read(arp);
        if (frame.EtherType == EtherTypes.Ipv4 && Ipv4Packet.TryParse(frame.Payload, out Ipv4Packet v4) == WireStatus.Ok)
            return read + Read(v4) + ReadUpper(v4.Protocol, v4.Payload);
        if (frame.EtherType == EtherTypes.Ipv6 && Ipv6Packet.TryParse(frame.Payload, out Ipv6Packet v6) == WireStatus.Ok)
            return read + Read(v6) + ReadUpper(v6.UpperProtocol, v6.UpperPayload);
        return read;
    }

    private static ulong ReadUpper(byte protocol, ReadOnlySpan<byte> message)
    {
        if (protocol == IpProtocols.Tcp && TcpHeader.TryParse(message, out TcpHeader tcp) == WireStatus.Ok) return Read(tcp);
        if (protocol == IpProtocols.Icmpv4 && Icmpv4Header.TryParse(message, out Icmpv4Header icmp) == WireStatus.Ok) return Read(icmp);
        if (protocol == IpProtocols.Icmpv6 && NeighborMessage.TryParse(message, out NeighborMessage neighbor) == WireStatus.Ok)
            return Read(neighbor);
        if (protocol != IpProtocols.Udp || UdpHeader.TryParse(message, out UdpHeader udp) != WireStatus.Ok) return 0;
        ulong read = Read(udp);
        if (udp.DestinationPort != VxlanHeader.DefaultPort) return read;
        return VxlanHeader.TryParse(udp.Payload, out VxlanHeader vxlan) == WireStatus.Ok
            ? read + Read(vxlan) + ReadLayers(vxlan.Payload)
            : read;
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

    private static ulong Read(VxlanHeader view) => view.Flags + Bit(view.HasVni) + (ulong)view.Vni + Ends(view.Payload);

    private static ulong Read(VxlanGpeHeader view) => view.Flags + (ulong)view.Vni + view.ProtocolType + Ends(view.Payload);

    private static ulong Read(GeneveHeader view)
    {
        ulong read = (ulong)view.HeaderLength + Bit(view.IsControl) + Bit(view.HasCriticalOptions) + view.ProtocolType + view.Vni + Ends(view.Payload);
        foreach (GeneveOption option in view.Options) read += option.Class + (ulong)option.Type + (ulong)option.Length + Ends(option.Data);
        return read;
    }

    private static ulong Bit(bool value) => value ? 1ul : 0;

    private static ulong Ends(ReadOnlySpan<byte> bytes) => bytes.IsEmpty ? 0 : bytes[0] + (ulong)bytes[^1];
}
