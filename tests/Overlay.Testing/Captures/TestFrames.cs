using System.Buffers.Binary;
using Overlay.Wire;

namespace Overlay.Testing.Captures;

/// <summary>Composes frames from the inside out, with lengths and header checksums right unless told otherwise.</summary>
public static class TestFrames
{
    public const string OuterSourceMac = "02:00:00:00:00:01";
    public const string OuterDestinationMac = "02:00:00:00:00:02";
    public const string InnerSourceMac = "0a:bc:de:f0:00:03";
    public const string InnerDestinationMac = "0a:bc:de:f0:00:04";
    public const string OuterSourceV4 = "192.0.2.1";
    public const string OuterDestinationV4 = "192.0.2.2";
    public const string InnerSourceV4 = "10.244.1.2";
    public const string InnerDestinationV4 = "10.244.2.3";
    public const string OuterSourceV6 = "2001:db8::1";
    public const string OuterDestinationV6 = "2001:db8:0:1::2";
    public const string InnerSourceV6 = "fd00::1:0:0:1";
    public const string InnerDestinationV6 = "fd00:244:2::3";
    public const ushort SourcePort = 50_001;

    public static byte[] Outer(byte[] payload, int etherType = EtherTypes.Ipv4, params VlanTag[] tags) =>
        Ethernet(payload, etherType, OuterSourceMac, OuterDestinationMac, tags);

    public static byte[] Inner(byte[] payload, int etherType = EtherTypes.Ipv4, params VlanTag[] tags) =>
        Ethernet(payload, etherType, InnerSourceMac, InnerDestinationMac, tags);

    public static byte[] OuterIpv4(byte[] payload, int protocol, int? totalLength = null, int fragmentWord = 0, byte[]? options = null) =>
        Ipv4(payload, protocol, OuterSourceV4, OuterDestinationV4, totalLength, fragmentWord, options);

    public static byte[] OuterIpv6(byte[] payload, int nextHeader, int? payloadLength = null) =>
        Ipv6(payload, nextHeader, OuterSourceV6, OuterDestinationV6, payloadLength);

    /// <summary>An IPv4 packet that carries nothing known.</summary>
    public static byte[] InnerIpv4(int payloadLength = 24) => Ipv4(new byte[payloadLength], 253, InnerSourceV4, InnerDestinationV4);

    /// <summary>An IPv6 packet that carries nothing known.</summary>
    public static byte[] InnerIpv6(int payloadLength = 24) => Ipv6(new byte[payloadLength], 253, InnerSourceV6, InnerDestinationV6);

    public static byte[] Udp(byte[] payload, int destinationPort, int? length = null, ushort sourcePort = SourcePort)
    {
        byte[] datagram = new byte[UdpHeader.HeaderLength + payload.Length];
        UdpHeader.Write(datagram, sourcePort, (ushort)destinationPort, length ?? datagram.Length);
        payload.CopyTo(datagram, UdpHeader.HeaderLength);
        return datagram;
    }

    /// <summary>A VXLAN or VXLAN-GPE header and what follows it.</summary>
    public static byte[] Vxlan(byte[] payload, uint vni = 42, byte flags = 0x08, ushort groupPolicy = 0, byte nextProtocol = 0)
    {
        byte[] header = new byte[VxlanHeader.Length];
        header[0] = flags;
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(2), groupPolicy);
        header[3] |= nextProtocol;
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(4), vni << 8);
        return [.. header, .. payload];
    }

    public static byte[] Geneve(
        byte[] payload, uint vni = 42, int protocolType = EtherTypes.TransparentEthernet, byte[]? options = null, bool isControl = false)
    {
        byte[] header = new byte[GeneveHeader.FixedLength + (options?.Length ?? 0)];
        GeneveHeader.Write(header, vni, (ushort)protocolType, options, isControl);
        return [.. header, .. payload];
    }

    public static byte[] GeneveOption(int optionClass, int type, params byte[] data)
    {
        byte[] option = new byte[Wire.GeneveOption.HeaderLength + data.Length];
        Wire.GeneveOption.Write(option, (ushort)optionClass, (byte)type, data);
        return option;
    }

    /// <summary>An IPv6 extension header of 8 bytes and more, its content zero.</summary>
    public static byte[] Extension(byte nextHeader, int lengthField, int length, byte[] payload)
    {
        byte[] header = new byte[length];
        header[0] = nextHeader;
        header[1] = (byte)lengthField;
        return [.. header, .. payload];
    }

    /// <summary>An IPv6 fragment header.</summary>
    public static byte[] Fragment(byte nextHeader, int offset, bool hasMore, byte[] payload)
    {
        byte[] header = new byte[8];
        header[0] = nextHeader;
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(2), (ushort)(offset | (hasMore ? 1 : 0)));
        return [.. header, .. payload];
    }

    public static byte[] Ipv4(
        byte[] payload, int protocol, string source, string destination, int? totalLength = null, int fragmentWord = 0, byte[]? options = null)
    {
        byte[] header = new byte[Ipv4Packet.MinHeaderLength + (options?.Length ?? 0)];
        var fields = new Ipv4Fields
        {
            TotalLength = totalLength ?? header.Length + payload.Length,
            MoreFragments = (fragmentWord & 0x2000) != 0,
            FragmentOffset = (fragmentWord & 0x1fff) * 8,
            TimeToLive = 64,
            Protocol = (byte)protocol,
            Source = IpBits.V4(System.Net.IPAddress.Parse(source)),
            Destination = IpBits.V4(System.Net.IPAddress.Parse(destination)),
        };
        Ipv4Packet.WriteHeader(header, fields, options);
        return [.. header, .. payload];
    }

    public static byte[] Ipv6(byte[] payload, int nextHeader, string source, string destination, int? payloadLength = null)
    {
        byte[] header = new byte[Ipv6Packet.HeaderLength];
        var fields = new Ipv6Fields
        {
            PayloadLength = payloadLength ?? payload.Length,
            HopLimit = 64,
            NextHeader = (byte)nextHeader,
            Source = IpBits.V6OrMapped(System.Net.IPAddress.Parse(source)),
            Destination = IpBits.V6OrMapped(System.Net.IPAddress.Parse(destination)),
        };
        Ipv6Packet.WriteHeader(header, fields);
        return [.. header, .. payload];
    }

    private static byte[] Ethernet(byte[] payload, int etherType, string source, string destination, VlanTag[] tags)
    {
        byte[] header = new byte[EthernetFrame.MinHeaderLength + (tags.Length * VlanTag.Length)];
        EthernetFrame.WriteHeader(header, Mac(destination), Mac(source), tags, (ushort)etherType);
        return [.. header, .. payload];
    }

    private static MacAddress Mac(string text) => MacAddress.TryParse(text, out MacAddress mac) ? mac : throw new FormatException(text);
}
