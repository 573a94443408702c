using System.Globalization;

namespace Overlay.Wire.Tests;

/// <summary>
/// What our views read in a frame, under the names and in the notation of tshark: each field lists its values from the outermost header
/// to the innermost, fragment offsets in units of 8 bytes. Checksums are checked on the way.
/// </summary>
internal sealed class TsharkFields
{
    private readonly SortedDictionary<string, List<string>> _values = new(StringComparer.Ordinal);

    public static SortedDictionary<string, List<string>> Read(ReadOnlySpan<byte> frame)
    {
        var fields = new TsharkFields();
        fields.ReadFrame(frame);
        return fields._values;
    }

    private void ReadFrame(ReadOnlySpan<byte> bytes)
    {
        Assert.Equal(WireStatus.Ok, EthernetFrame.TryParse(bytes, out EthernetFrame frame));
        Add("eth_dst", frame.Destination);
        Add("eth_src", frame.Source);
        Add("eth_type", frame.VlanTagCount > 0 ? Hex4(frame.OuterTag.Protocol) : Hex4(frame.EtherType));
        if (frame.VlanTagCount > 0) ReadTag(frame.OuterTag, frame.VlanTagCount > 1 ? frame.InnerTag.Protocol : frame.EtherType);
        if (frame.VlanTagCount > 1) ReadTag(frame.InnerTag, frame.EtherType);
        switch (frame.EtherType)
        {
            case EtherTypes.Arp:
                ReadArp(frame.Payload);
                break;
            case EtherTypes.Ipv4:
                ReadIpv4(frame.Payload);
                break;
            case EtherTypes.Ipv6:
                ReadIpv6(frame.Payload);
                break;
            default:
                Assert.Fail($"EtherType {frame.EtherType:x4}");
                break;
        }
    }

    private void ReadTag(VlanTag tag, ushort next)
    {
        string name = tag.Protocol == EtherTypes.Vlan ? "vlan" : "ieee8021ad";
        Add($"{name}_priority", tag.Priority);
        Add($"{name}_dei", Bit(tag.IsDropEligible));
        Add($"{name}_id", tag.Identifier);
        if (tag.Protocol == EtherTypes.Vlan) Add("vlan_etype", Hex4(next));
    }

    private void ReadArp(ReadOnlySpan<byte> packet)
    {
        Assert.Equal(WireStatus.Ok, ArpPacket.TryParse(packet, out ArpPacket arp));
        Add("arp_opcode", (ushort)arp.Operation);
        Add("arp_src_hw_mac", arp.SenderMac);
        Add("arp_src_proto_ipv4", V4(arp.SenderAddress));
        Add("arp_dst_hw_mac", arp.TargetMac);
        Add("arp_dst_proto_ipv4", V4(arp.TargetAddress));
    }

    private void ReadIpv4(ReadOnlySpan<byte> bytes)
    {
        Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(bytes, out Ipv4Packet packet));
        Assert.True(packet.IsHeaderChecksumValid);
        Add("ip_hdr_len", packet.HeaderLength);
        Add("ip_dsfield", $"0x{packet.TrafficClass:x2}");
        Add("ip_len", packet.TotalLength);
        Add("ip_id", Hex4(packet.Identification));
        Add("ip_flags_df", Bit(packet.DontFragment));
        Add("ip_flags_mf", Bit(packet.MoreFragments));
        Add("ip_frag_offset", packet.FragmentOffset / 8);
        Add("ip_ttl", packet.TimeToLive);
        Add("ip_proto", packet.Protocol);
        Add("ip_checksum", Hex4(packet.HeaderChecksum));
        Add("ip_src", V4(packet.Source));
        Add("ip_dst", V4(packet.Destination));
        if (packet.FragmentOffset != 0) return;
        int length = packet.Payload.Length;
        if (packet.Protocol == IpProtocols.Icmpv4) ReadIcmpv4(packet.Payload, isWhole: !packet.IsFragment);
        else ReadTransport(packet.Protocol, packet.Payload, InternetChecksum.PseudoHeaderV4(packet.Addresses, packet.Protocol, length));
    }

    private void ReadIpv6(ReadOnlySpan<byte> bytes)
    {
        Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(bytes, out Ipv6Packet packet));
        Add("ipv6_tclass", $"0x{packet.TrafficClass:x8}");
        Add("ipv6_flow", $"0x{packet.FlowLabel:x6}");
        Add("ipv6_plen", packet.PayloadLength);
        Add("ipv6_nxt", packet.NextHeader);
        Add("ipv6_hlim", packet.HopLimit);
        Add("ipv6_src", V6(packet.Source));
        Add("ipv6_dst", V6(packet.Destination));
        if (packet.HasFragmentHeader)
        {
            Add("ipv6_fraghdr_offset", packet.FragmentOffset / 8);
            Add("ipv6_fraghdr_more", Bit(packet.MoreFragments));
            Add("ipv6_fraghdr_ident", $"0x{packet.FragmentIdentification:x8}");
        }
        if (packet.FragmentOffset != 0) return;
        byte protocol = packet.UpperProtocol;
        ReadOnlySpan<byte> message = packet.UpperPayload;
        if (protocol == IpProtocols.Icmpv6) ReadIcmpv6(packet);
        else ReadTransport(protocol, message, InternetChecksum.PseudoHeaderV6(packet.Addresses, protocol, message.Length));
    }

    private void ReadTransport(byte protocol, ReadOnlySpan<byte> message, ulong pseudoHeader)
    {
        Assert.True(InternetChecksum.IsValid(InternetChecksum.Add(message, pseudoHeader)));
        if (protocol == IpProtocols.Tcp) ReadTcp(message);
        else if (protocol == IpProtocols.Udp) ReadUdp(message);
        else Assert.Fail($"protocol {protocol}");
    }

    private void ReadTcp(ReadOnlySpan<byte> segment)
    {
        Assert.Equal(WireStatus.Ok, TcpHeader.TryParse(segment, out TcpHeader tcp));
        Add("tcp_srcport", tcp.SourcePort);
        Add("tcp_dstport", tcp.DestinationPort);
        Add("tcp_seq_raw", tcp.SequenceNumber);
        Add("tcp_ack_raw", tcp.AcknowledgmentNumber);
        Add("tcp_hdr_len", tcp.HeaderLength);
        Add("tcp_flags", Hex4((ushort)tcp.Flags));
        Add("tcp_window_size_value", tcp.Window);
        Add("tcp_checksum", Hex4(tcp.Checksum));
        Add("tcp_urgent_pointer", tcp.UrgentPointer);
        if (tcp.Options.Length > 0) Add("tcp_options", Convert.ToHexStringLower(tcp.Options));
    }

    private void ReadUdp(ReadOnlySpan<byte> datagram)
    {
        Assert.Equal(WireStatus.Ok, UdpHeader.TryParse(datagram, out UdpHeader udp));
        Add("udp_srcport", udp.SourcePort);
        Add("udp_dstport", udp.DestinationPort);
        Add("udp_length", udp.Length);
        Add("udp_checksum", Hex4(udp.Checksum));
        if (udp.DestinationPort != VxlanHeader.DefaultPort) return;
        Assert.Equal(WireStatus.Ok, VxlanHeader.TryParse(udp.Payload, out VxlanHeader vxlan));
        Assert.True(vxlan.HasVni);
        Add("vxlan_flags", $"0x{vxlan.Flags:x2}00");
        Add("vxlan_vni", vxlan.Vni);
        ReadFrame(vxlan.Payload);
    }

    private void ReadIcmpv4(ReadOnlySpan<byte> message, bool isWhole)
    {
        Assert.Equal(WireStatus.Ok, Icmpv4Header.TryParse(message, out Icmpv4Header icmp));
        Assert.Equal(isWhole, icmp.IsChecksumValid);
        Add("icmp_type", icmp.Type);
        Add("icmp_code", icmp.Code);
        Add("icmp_checksum", Hex4(icmp.Checksum));
        if (icmp.Type == Icmpv4Types.DestinationUnreachable)
        {
            ReadIpv4(icmp.Payload);
            return;
        }
        Add("icmp_ident", icmp.Identifier);
        Add("icmp_seq", icmp.SequenceNumber);
    }

    private void ReadIcmpv6(Ipv6Packet packet)
    {
        Assert.Equal(WireStatus.Ok, Icmpv6Header.TryParse(packet.UpperPayload, out Icmpv6Header icmp));
        Assert.Equal(!packet.IsFragment, icmp.IsChecksumValid(packet.Addresses));
        Add("icmpv6_type", icmp.Type);
        Add("icmpv6_code", icmp.Code);
        Add("icmpv6_checksum", Hex4(icmp.Checksum));
        switch (icmp.Type)
        {
            case Icmpv6Types.DestinationUnreachable:
                ReadIpv6(icmp.Payload);
                break;
            case Icmpv6Types.EchoRequest or Icmpv6Types.EchoReply:
                Add("icmpv6_echo_identifier", Hex4(icmp.Identifier));
                Add("icmpv6_echo_sequence_number", icmp.SequenceNumber);
                break;
            case Icmpv6Types.NeighborSolicitation or Icmpv6Types.NeighborAdvertisement:
                ReadNeighbor(packet.UpperPayload);
                break;
        }
    }

    private void ReadNeighbor(ReadOnlySpan<byte> message)
    {
        Assert.Equal(WireStatus.Ok, NeighborMessage.TryParse(message, out NeighborMessage neighbor));
        Add(neighbor.IsSolicitation ? "icmpv6_nd_ns_target_address" : "icmpv6_nd_na_target_address", V6(neighbor.Target));
        if (!neighbor.IsSolicitation)
        {
            Add("icmpv6_nd_na_flag_r", Bit(neighbor.Flags.HasFlag(NeighborFlags.Router)));
            Add("icmpv6_nd_na_flag_s", Bit(neighbor.Flags.HasFlag(NeighborFlags.Solicited)));
            Add("icmpv6_nd_na_flag_o", Bit(neighbor.Flags.HasFlag(NeighborFlags.Override)));
        }
        if (neighbor.HasLinkLayerAddress) Add("icmpv6_opt_linkaddr", neighbor.LinkLayerAddress);
    }

    private void Add<T>(string field, T value)
        where T : notnull
    {
        if (!_values.TryGetValue(field, out List<string>? values)) _values[field] = values = [];
        values.Add(string.Create(CultureInfo.InvariantCulture, $"{value}"));
    }

    private static string Hex4(ushort value) => $"0x{value:x4}";

    private static int Bit(bool value) => value ? 1 : 0;

    private static string V4(uint address) => IpBits.ToAddress(IpBits.Mapped(address)).ToString();

    private static string V6(UInt128 address) => IpBits.ToAddress(address).ToString();
}
