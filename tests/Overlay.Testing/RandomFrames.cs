using System.Buffers.Binary;
using Overlay.Wire;

namespace Overlay.Testing;

/// <summary>Well-formed Ethernet frames of every kind that the wire library speaks, with correct lengths and checksums.</summary>
public static class RandomFrames
{
    /// <summary>Room that any generated frame fits in.</summary>
    public const int MaxLength = 2048;

    private const int MaxPayload = 300;

    /// <summary>Writes one frame, VXLAN with a frame inside now and then.</summary>
    /// <returns>Its length.</returns>
    public static int Write(Random random, Span<byte> frame) => Write(random, frame, mayTunnel: true);

    public static MacAddress Mac(Random random)
    {
        Span<byte> octets = stackalloc byte[MacAddress.Length];
        random.NextBytes(octets);
        octets[0] = (byte)((octets[0] & 0xfe) | 2);
        return new MacAddress(octets);
    }

    /// <summary>A unicast address in 10.0.0.0/8.</summary>
    public static uint AddressV4(Random random) => 0x0a000000 | (uint)random.Next(1, 0xfffffe);

    /// <summary>A unicast address in fd00::/8.</summary>
    public static UInt128 AddressV6(Random random) =>
        new(0xfd00_0000_0000_0000 | (ulong)random.NextInt64(1L << 56), (ulong)random.NextInt64());

    private static int Write(Random random, Span<byte> frame, bool mayTunnel)
    {
        Span<VlanTag> tags = stackalloc VlanTag[EthernetFrame.MaxVlanTags];
        tags = tags[..Math.Max(0, random.Next(-4, EthernetFrame.MaxVlanTags + 1))];
        for (int i = 0; i < tags.Length; i++)
            tags[i] = new VlanTag(i == 0 && tags.Length == 2 ? EtherTypes.ProviderVlan : EtherTypes.Vlan, (ushort)random.Next(0x10000));
        ushort etherType = random.Next(10) switch
        {
            0 => EtherTypes.Arp,
            < 6 => EtherTypes.Ipv4,
            _ => EtherTypes.Ipv6,
        };
        int header = EthernetFrame.WriteHeader(frame, Mac(random), Mac(random), tags, etherType);
        Span<byte> packet = frame[header..];
        return header + etherType switch
        {
            EtherTypes.Arp => WriteArp(random, packet),
            EtherTypes.Ipv4 => WriteIpv4(random, packet, mayTunnel),
            _ => WriteIpv6(random, packet, mayTunnel),
        };
    }

    private static int WriteArp(Random random, Span<byte> packet)
    {
        ArpOperation operation = random.Next(2) == 0 ? ArpOperation.Request : ArpOperation.Reply;
        ArpPacket.Write(packet, operation, Mac(random), AddressV4(random), Mac(random), AddressV4(random));
        return ArpPacket.Length;
    }

    private static int WriteIpv4(Random random, Span<byte> packet, bool mayTunnel)
    {
        uint source = AddressV4(random), destination = AddressV4(random);
        Span<byte> options = stackalloc byte[random.Next(3) == 0 ? random.Next(11) * 4 : 0];
        WriteRecordRoute(options);
        byte protocol = Protocol(random, IpProtocols.Icmpv4);
        int header = Ipv4Packet.MinHeaderLength + options.Length;
        int length = WriteTransport(
            random, packet[header..], protocol, size => InternetChecksum.PseudoHeaderV4(source, destination, protocol, size), mayTunnel);
        if (protocol == IpProtocols.Icmpv4)
            Icmpv4Header.Write(packet.Slice(header, length), Icmpv4Types.EchoRequest, 0, (uint)random.Next());
        var fields = new Ipv4Fields
        {
            TrafficClass = (byte)random.Next(256),
            TotalLength = header + length,
            Identification = (ushort)random.Next(0x10000),
            DontFragment = random.Next(2) == 0,
            TimeToLive = (byte)random.Next(16, 256),
            Protocol = protocol,
            Source = source,
            Destination = destination,
        };
        return Ipv4Packet.WriteHeader(packet, fields, options) + length;
    }

    /// <summary>As many empty slots as there is room for, and the end of the list (RFC 791, 3.1).</summary>
    private static void WriteRecordRoute(Span<byte> options)
    {
        options.Clear();
        if (options.IsEmpty) return;
        options[0] = 7;
        options[1] = (byte)(options.Length - 1);
        options[2] = 4;
    }

    private static int WriteIpv6(Random random, Span<byte> packet, bool mayTunnel)
    {
        UInt128 source = AddressV6(random), destination = AddressV6(random);
        byte protocol = Protocol(random, IpProtocols.Icmpv6);
        byte first = WriteExtensions(random, packet[Ipv6Packet.HeaderLength..], protocol, out int extensions);
        int header = Ipv6Packet.HeaderLength + extensions;
        int length = WriteTransport(
            random, packet[header..], protocol, size => InternetChecksum.PseudoHeaderV6(source, destination, protocol, size), mayTunnel);
        if (protocol == IpProtocols.Icmpv6)
            length = WriteIcmpv6(random, packet[header..], length, source, destination);
        var fields = new Ipv6Fields
        {
            TrafficClass = (byte)random.Next(256),
            FlowLabel = (uint)random.Next(1 << 20),
            PayloadLength = extensions + length,
            NextHeader = first,
            HopLimit = byte.MaxValue,
            Source = source,
            Destination = destination,
        };
        Ipv6Packet.WriteHeader(packet, fields);
        return header + length;
    }

    private static int WriteIcmpv6(Random random, Span<byte> message, int length, UInt128 source, UInt128 destination)
    {
        switch (random.Next(3))
        {
            case 0:
                return NeighborMessage.WriteSolicitation(message, source, destination, AddressV6(random), Mac(random));
            case 1:
                NeighborFlags flags = NeighborFlags.Override | NeighborFlags.Solicited;
                return NeighborMessage.WriteAdvertisement(message, source, destination, AddressV6(random), flags, Mac(random));
            default:
                Icmpv6Header.Write(message[..length], source, destination, Icmpv6Types.EchoRequest, 0, (uint)random.Next());
                return length;
        }
    }

    private static byte WriteExtensions(Random random, Span<byte> payload, byte upperProtocol, out int length)
    {
        length = 0;
        if (random.Next(3) != 0) return upperProtocol;
        ReadOnlySpan<byte> order = [IpProtocols.HopByHop, IpProtocols.DestinationOptions, IpProtocols.Fragment];
        byte first = upperProtocol;
        Span<byte> previous = default;
        foreach (byte protocol in order)
        {
            if (random.Next(2) == 0) continue;
            Span<byte> header = payload.Slice(length, 8 * (protocol == IpProtocols.Fragment ? 1 : random.Next(1, 4)));
            header.Clear();
            header[0] = upperProtocol;
            if (protocol == IpProtocols.Fragment)
            {
                BinaryPrimitives.WriteInt32BigEndian(header[4..], random.Next());
            }
            else
            {
                header[1] = (byte)((header.Length / 8) - 1);
                header[2] = 1; // PadN over the rest
                header[3] = (byte)(header.Length - 4);
            }
            if (length == 0) first = protocol;
            else previous[0] = protocol;
            previous = header;
            length += header.Length;
        }
        return first;
    }

    private static byte Protocol(Random random, byte icmp) => random.Next(3) switch
    {
        0 => IpProtocols.Tcp,
        1 => IpProtocols.Udp,
        _ => icmp,
    };

    private static int WriteTransport(Random random, Span<byte> message, byte protocol, Func<int, ulong> pseudoHeader, bool mayTunnel)
    {
        if (protocol == IpProtocols.Tcp)
        {
            ReadOnlySpan<byte> options = random.Next(2) == 0 ? [] : [1, 1, TcpOptionReader.Timestamps, 10, 0, 0, 0, 7, 0, 0, 0, 9];
            var fields = new TcpFields
            {
                SourcePort = (ushort)random.Next(1, 0x10000),
                DestinationPort = (ushort)random.Next(1, 0x10000),
                SequenceNumber = (uint)random.Next(),
                AcknowledgmentNumber = (uint)random.Next(),
                Flags = TcpFlags.Ack | (random.Next(2) == 0 ? TcpFlags.Psh : TcpFlags.None),
                Window = (ushort)random.Next(0x10000),
            };
            int header = TcpHeader.Write(message, fields, options);
            int length = header + Fill(random, message[header..]);
            ushort checksum = InternetChecksum.Finish(InternetChecksum.Add(message[..length], pseudoHeader(length)));
            InternetChecksum.Store(message[TcpHeader.ChecksumOffset..], checksum);
            return length;
        }
        if (protocol == IpProtocols.Udp)
        {
            bool tunnel = mayTunnel && random.Next(2) == 0;
            Span<byte> payload = message[UdpHeader.HeaderLength..];
            int length = UdpHeader.HeaderLength + (tunnel ? WriteVxlan(random, payload) : Fill(random, payload));
            ushort port = tunnel ? VxlanHeader.DefaultPort : (ushort)random.Next(1, 1024);
            UdpHeader.Write(message, (ushort)random.Next(49152, 0x10000), port, length);
            ushort checksum = InternetChecksum.FinishUdp(InternetChecksum.Add(message[..length], pseudoHeader(length)));
            InternetChecksum.Store(message[UdpHeader.ChecksumOffset..], checksum);
            return length;
        }
        return Icmpv4Header.Length + Fill(random, message[Icmpv4Header.Length..]);
    }

    private static int WriteVxlan(Random random, Span<byte> payload)
    {
        VxlanHeader.Write(payload, (uint)random.Next((int)VxlanHeader.MaxVni + 1));
        return VxlanHeader.Length + Write(random, payload[VxlanHeader.Length..], mayTunnel: false);
    }

    private static int Fill(Random random, Span<byte> payload)
    {
        int length = random.Next(MaxPayload);
        random.NextBytes(payload[..length]);
        return length;
    }
}
