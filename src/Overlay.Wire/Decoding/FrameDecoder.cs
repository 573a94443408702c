using System.Buffers.Binary;
using Overlay.Wire.Capture;

namespace Overlay.Wire.Decoding;

/// <summary>
/// Finds the outermost tunnel of a frame: behind Ethernet, any VLAN tags, and an IPv4 header with options or an IPv6 header with extension
/// headers. Made for captures of any origin: nothing throws, and an unsound frame gives what can be read and a reason. Reasons are: an
/// incomplete tunnel header, an outer IP length past the frame, a UDP length under 8 or past the IP payload, a Geneve version other than
/// 0, Geneve options past the datagram or not adding up. Where anything else hides whether there is a tunnel, there is none, and no reason.
/// </summary>
/// <remarks>
/// Where the standards leave it open what a decoder shows:
/// <list type="bullet">
/// <item>The frame that IP lengths are held against is the one on the wire, so a capture that cut it makes no length unsound. A header
/// that the capture cut is incomplete all the same.</item>
/// <item>A fragment that is not the first carries no header, so no tunnel. A first fragment does; that its UDP length, the datagram's, is
/// past the fragment is an error in a tunnel, as no datagram is put together here.</item>
/// <item>The lengths of the first IP packet and its UDP header are judged in frames without a tunnel too.</item>
/// <item>The tunnel header of IP in IP is the outer IP header with its options or extension headers.</item>
/// <item>ESP hides what follows; so does AH behind IPv4. AH is one of the IPv6 extension headers.</item>
/// <item>An IPv4 total length of 0, impossible on a wire, is what captures of segmentation offload have: the packet is taken to end with the
/// frame, its length is unknown.</item>
/// <item>A Geneve version other than 0 leaves the other fields of the header without a meaning, so unknown.</item>
/// <item>A frame of a link type other than Ethernet has no tunnel.</item>
/// </list>
/// </remarks>
public sealed class FrameDecoder(TunnelPorts ports)
{
    public DecodedFrame Decode(CapturedFrame frame)
    {
        var decoded = new DecodedFrame();
        if (frame.LinkType != CaptureReader.EthernetLinkType || !LinkHeader.TryRead(frame.Data, out ushort etherType, out int headerLength))
            return decoded;
        ReadOnlySpan<byte> bytes = frame.Data[headerLength..];
        long length = frame.Length - headerLength;
        OuterPacket packet = default;
        bool found = etherType switch
        {
            EtherTypes.Ipv4 => OuterPacket.TryReadIpv4(bytes, length, decoded, out packet),
            EtherTypes.Ipv6 => OuterPacket.TryReadIpv6(bytes, length, decoded, out packet),
            _ => false,
        };
        if (found) DecodePacket(packet, decoded);
        return decoded;
    }

    private void DecodePacket(OuterPacket packet, DecodedFrame decoded)
    {
        switch (packet.Protocol)
        {
            case IpProtocols.Udp:
                DecodeUdp(packet, decoded);
                break;
            case IpProtocols.Ipv4InIp:
                DecodeIpInIp(packet.IsIpv6 ? TunnelKind.Ipv4InIpv6 : TunnelKind.Ipv4InIpv4, EtherTypes.Ipv4, packet, decoded);
                break;
            case IpProtocols.Ipv6InIp:
                DecodeIpInIp(packet.IsIpv6 ? TunnelKind.Ipv6InIpv6 : TunnelKind.Ipv6InIpv4, EtherTypes.Ipv6, packet, decoded);
                break;
        }
    }

    private static void DecodeIpInIp(TunnelKind kind, ushort etherType, OuterPacket packet, DecodedFrame decoded)
    {
        Found(kind, packet, decoded);
        if (packet.HeaderFault is not null) decoded.Fail(packet.HeaderFault);
        decoded.InnerLength = packet.PayloadLength;
        InnerHeaders.Read(etherType, packet.Payload, decoded);
    }

    private void DecodeUdp(OuterPacket packet, DecodedFrame decoded)
    {
        ReadOnlySpan<byte> bytes = packet.Payload;
        if (bytes.Length < 4) return;
        ushort destinationPort = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        TunnelKind kind = ports.Find(destinationPort);
        if (kind != TunnelKind.None)
        {
            Found(kind, packet, decoded);
            decoded.OuterSourcePort = BinaryPrimitives.ReadUInt16BigEndian(bytes);
            decoded.OuterDestinationPort = destinationPort;
        }
        if (bytes.Length < UdpHeader.HeaderLength)
        {
            if (kind != TunnelKind.None) decoded.Fail($"UDP header incomplete: {bytes.Length} of {UdpHeader.HeaderLength} bytes");
            return;
        }

        long udpLength = BinaryPrimitives.ReadUInt16BigEndian(bytes[4..]);
        if (udpLength == 0 && packet.IsJumbo) udpLength = packet.Room; // RFC 2675, 4
        bool isPast = udpLength > packet.Room;
        bool isKnown = !isPast || packet.IsFirstFragment;
        if (udpLength < UdpHeader.HeaderLength) decoded.Fail($"UDP length {udpLength} is under {UdpHeader.HeaderLength}");
        if (isPast && (kind != TunnelKind.None || !packet.IsFirstFragment))
            decoded.Fail($"UDP length {udpLength} is past the IP payload of {packet.Room}");
        if (kind == TunnelKind.None || udpLength < UdpHeader.HeaderLength) return;
        TunnelHeaders.Read(
            bytes[UdpHeader.HeaderLength..(int)Math.Min(udpLength, bytes.Length)], isKnown ? udpLength - UdpHeader.HeaderLength : null, decoded);
    }

    private static void Found(TunnelKind kind, OuterPacket packet, DecodedFrame decoded)
    {
        decoded.Tunnel = kind;
        decoded.OuterSource = packet.Source;
        decoded.OuterDestination = packet.Destination;
    }
}
