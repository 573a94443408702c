using System.Buffers.Binary;
using Overlay.Wire;

namespace Overlay.Dataplane.Mtu;

/// <summary>An ICMP error that says a packet was too big for the next hop, and what it quotes of that packet.</summary>
/// <param name="Source">Of the quoted packet, host-order bits; IPv4 is IPv4-mapped.</param>
/// <param name="Destination">The same.</param>
/// <param name="Protocol">IP protocol of the quoted packet.</param>
/// <param name="SourcePort">Of UDP; else 0.</param>
/// <param name="DestinationPort">Of UDP; else 0.</param>
/// <param name="Mtu">Of the next hop; 0: the router does not say (RFC 1191, 5).</param>
/// <param name="Length">Bytes of the packet that was too big.</param>
public readonly record struct TooBigQuote(
    UInt128 Source, UInt128 Destination, byte Protocol, ushort SourcePort, ushort DestinationPort, int Mtu, int Length)
{
    private const int PortsLength = 4;

    /// <summary>Takes apart an error whose checksum is right, and whose numbers can be true: RFC 5927, 7; RFC 8201, 4.</summary>
    /// <param name="message">The ICMP message. Of ICMPv6 the kernel has checked the checksum.</param>
    /// <param name="isIpv6">ICMPv6.</param>
    /// <param name="quote">What it says.</param>
    /// <returns>False for any other message, and for one that cannot be about a packet with DF from this node.</returns>
    public static bool TryParse(ReadOnlySpan<byte> message, bool isIpv6, out TooBigQuote quote) =>
        (isIpv6 ? TryParseV6(message, out quote) : TryParseV4(message, out quote)) && (quote.Mtu == 0 || quote.Mtu < quote.Length);

    private static bool TryParseV4(ReadOnlySpan<byte> message, out TooBigQuote quote)
    {
        quote = default;
        if (Icmpv4Header.TryParse(message, out Icmpv4Header icmp) != WireStatus.Ok
            || icmp is not { Type: Icmpv4Types.DestinationUnreachable, Code: Icmpv4Types.FragmentationNeeded } || !icmp.IsChecksumValid
            || Ipv4Packet.TryParseHeader(icmp.Payload, out Ipv4Packet ip) != WireStatus.Ok || ip.FragmentOffset != 0 || !ip.DontFragment) return false;
        (ushort source, ushort destination) = Ports(ip.Protocol, icmp.Payload[ip.HeaderLength..]);
        quote = new TooBigQuote(
            IpBits.Mapped(ip.Source), IpBits.Mapped(ip.Destination), ip.Protocol, source, destination, (int)(icmp.RestOfHeader & 0xffff),
            BinaryPrimitives.ReadUInt16BigEndian(icmp.Payload[2..]));
        return quote.Mtu is 0 or >= Egress.IcmpError.LeastMtuV4;
    }

    private static bool TryParseV6(ReadOnlySpan<byte> message, out TooBigQuote quote)
    {
        quote = default;
        if (Icmpv6Header.TryParse(message, out Icmpv6Header icmp) != WireStatus.Ok || icmp.Type != Icmpv6Types.PacketTooBig
            || icmp.Payload.Length < Ipv6Packet.HeaderLength || icmp.Payload[0] >> 4 != 6) return false;
        ReadOnlySpan<byte> ip = icmp.Payload;
        byte protocol = ip[6];
        (ushort source, ushort destination) = Ports(protocol, ip[Ipv6Packet.HeaderLength..]);
        quote = new TooBigQuote(
            BinaryPrimitives.ReadUInt128BigEndian(ip[8..]), BinaryPrimitives.ReadUInt128BigEndian(ip[24..]), protocol, source, destination,
            (int)Math.Min(icmp.RestOfHeader, int.MaxValue), Ipv6Packet.HeaderLength + BinaryPrimitives.ReadUInt16BigEndian(ip[4..]));
        return quote.Mtu >= Egress.IcmpError.LeastMtuV6;
    }

    private static (ushort Source, ushort Destination) Ports(byte protocol, ReadOnlySpan<byte> transport) =>
        protocol == IpProtocols.Udp && transport.Length >= PortsLength
            ? (BinaryPrimitives.ReadUInt16BigEndian(transport), BinaryPrimitives.ReadUInt16BigEndian(transport[2..]))
            : default;
}
