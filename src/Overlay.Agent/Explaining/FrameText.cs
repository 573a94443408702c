using System.Globalization;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Agent.Explaining;

/// <summary>Frames in a few words.</summary>
internal static class FrameText
{
    private static readonly string[] EcnNames = ["not-ect", "ect(1)", "ect(0)", "ce"];

    public static string Ecn(int codePoint) => EcnNames[codePoint & 3];

    public static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>Kind, ends and size of what a frame carries.</summary>
    public static string Of(ReadOnlySpan<byte> frame)
    {
        if (InnerPacket.TryParseFrame(frame, out InnerPacket packet) != WireStatus.Ok) return $"{Number(frame.Length)} bytes that are no frame";
        string macs = $"{new MacAddress(frame[MacAddress.Length..])} > {new MacAddress(frame)}";
        if (packet.EtherType == EtherTypes.Arp && ArpPacket.TryParse(frame[packet.NetworkOffset..], out ArpPacket arp) == WireStatus.Ok)
        {
            return arp.Operation == ArpOperation.Request
                ? $"ARP request of {Address(arp.SenderAddress)} for {Address(arp.TargetAddress)}"
                : $"ARP reply of {Address(arp.SenderAddress)} to {Address(arp.TargetAddress)}";
        }
        if (!packet.IsIpv4 && !packet.IsIpv6) return $"frame of EtherType 0x{packet.EtherType:x4}, {macs}, {Number(frame.Length)} bytes";
        ReadOnlySpan<byte> ip = frame[packet.NetworkOffset..packet.End];
        string source = IpBits.ToAddress(packet.Source(frame)).ToString();
        string destination = IpBits.ToAddress(packet.IsIpv4 ? IpBits.Mapped(packet.DestinationV4) : packet.DestinationV6).ToString();
        string text = $"{Protocol(packet)} {End(source, frame, packet, 0)} > {End(destination, frame, packet, 2)}, {Number(ip.Length)} bytes, TTL {packet.TimeToLive}";
        if (packet.TrafficClass >> 2 != 0) text += $", DSCP {packet.TrafficClass >> 2}";
        if (packet.Ecn != 0) text += $", ECN {Ecn(packet.Ecn)}";
        if (packet.IsIpv4 && Ipv4Packet.TryParse(ip, out Ipv4Packet v4) == WireStatus.Ok)
        {
            if (v4.DontFragment) text += ", DF";
            if (v4.IsFragment) text += $", fragment at {Number(v4.FragmentOffset)}{(v4.MoreFragments ? " of more" : ", the last")}";
        }
        else if (packet.IsFragment)
        {
            text += ", fragment";
        }
        if (packet.VlanTags > 0) text += $", {packet.VlanTags} VLAN tag{(packet.VlanTags > 1 ? "s" : "")}";
        return text + Icmp(frame, packet) + Options(frame, packet);
    }

    public static string Protocol(in InnerPacket packet) => packet.Protocol switch
    {
        IpProtocols.Tcp => "TCP",
        IpProtocols.Udp => "UDP",
        IpProtocols.Icmpv4 when packet.IsIpv4 => "ICMP",
        IpProtocols.Icmpv6 when packet.IsIpv6 => "ICMPv6",
        _ => $"IP protocol {packet.Protocol}",
    };

    /// <summary>MSS that a TCP SYN offers; null where it is none or says none.</summary>
    public static int? MssOf(ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        if (packet.Protocol != IpProtocols.Tcp || !packet.HasTransport
            || TcpHeader.TryParse(frame[packet.TransportOffset..packet.End], out TcpHeader tcp) != WireStatus.Ok || !tcp.Flags.HasFlag(TcpFlags.Syn)) return null;
        var options = new TcpOptionReader(tcp.Options);
        while (options.TryRead(out byte kind, out ReadOnlySpan<byte> value))
        {
            if (kind == TcpOptionReader.MaximumSegmentSize && value.Length == sizeof(ushort)) return (value[0] << 8) | value[1];
        }
        return null;
    }

    private static string Address(uint v4) => IpBits.ToAddress(IpBits.Mapped(v4)).ToString();

    private static string End(string address, ReadOnlySpan<byte> frame, in InnerPacket packet, int portOffset)
    {
        if (!packet.HasTransport) return address;
        int port = (frame[packet.TransportOffset + portOffset] << 8) | frame[packet.TransportOffset + portOffset + 1];
        return packet.IsIpv6 ? $"[{address}]:{Number(port)}" : $"{address}:{Number(port)}";
    }

    private static string Options(ReadOnlySpan<byte> frame, in InnerPacket packet) => MssOf(frame, packet) is { } mss ? $", SYN with MSS {Number(mss)}" : "";

    private static string Icmp(ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        if (packet.IsFragment) return "";
        ReadOnlySpan<byte> message = frame[packet.TransportOffset..packet.End];
        if (packet is { IsIpv4: true, Protocol: IpProtocols.Icmpv4 } && Icmpv4Header.TryParse(message, out Icmpv4Header icmp) == WireStatus.Ok)
        {
            return icmp.Type switch
            {
                Icmpv4Types.EchoRequest => ", echo request",
                Icmpv4Types.EchoReply => ", echo reply",
                Icmpv4Types.DestinationUnreachable when icmp.Code == Icmpv4Types.FragmentationNeeded =>
                    $", destination unreachable: fragmentation needed, MTU {Number(icmp.RestOfHeader & 0xffff)}",
                Icmpv4Types.DestinationUnreachable => $", destination unreachable: {Unreachable(icmp.Code)}",
                _ => $", type {icmp.Type} code {icmp.Code}",
            };
        }
        if (packet is { IsIpv6: true, Protocol: IpProtocols.Icmpv6 } && Icmpv6Header.TryParse(message, out Icmpv6Header icmp6) == WireStatus.Ok)
        {
            return icmp6.Type switch
            {
                Icmpv6Types.EchoRequest => ", echo request",
                Icmpv6Types.EchoReply => ", echo reply",
                Icmpv6Types.PacketTooBig => $", packet too big, MTU {Number(icmp6.RestOfHeader)}",
                Icmpv6Types.DestinationUnreachable => $", destination unreachable: {Unreachable6(icmp6.Code)}",
                Icmpv6Types.ParameterProblem => $", parameter problem at {Number(icmp6.RestOfHeader)}",
                Icmpv6Types.NeighborSolicitation => ", neighbour solicitation",
                Icmpv6Types.NeighborAdvertisement => ", neighbour advertisement",
                _ => $", type {icmp6.Type} code {icmp6.Code}",
            };
        }
        return "";
    }

    private static string Unreachable(byte code) => code switch
    {
        0 => "network unreachable",
        1 => "host unreachable",
        13 => "administratively prohibited",
        _ => $"code {code}",
    };

    private static string Unreachable6(byte code) => code switch
    {
        0 => "no route",
        1 => "administratively prohibited",
        3 => "address unreachable",
        _ => $"code {code}",
    };
}
