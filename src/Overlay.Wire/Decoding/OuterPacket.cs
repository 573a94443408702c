using System.Buffers.Binary;
using System.Net;

namespace Overlay.Wire.Decoding;

/// <summary>
/// The first IP packet of a frame. Unlike <see cref="Ipv4Packet"/> and <see cref="Ipv6Packet"/>, which admit only whole and sound packets,
/// this reads what a cut or contradictory one still tells, and says what is wrong with it.
/// </summary>
internal readonly ref struct OuterPacket
{
    private const byte Mobility = 135;
    private const byte HostIdentity = 139;
    private const byte Shim6 = 140;
    private const byte JumboPayload = 0xc2;

    /// <param name="payload">What was captured from the payload on.</param>
    /// <param name="room">Most bytes that the payload can have.</param>
    private OuterPacket(ReadOnlySpan<byte> header, bool isIpv6, byte protocol, ReadOnlySpan<byte> payload, long room)
    {
        (Source, Destination) = IpAddresses.Read(header, isIpv6);
        IsIpv6 = isIpv6;
        Protocol = protocol;
        Room = room;
        Payload = payload[..(int)Math.Min(payload.Length, room)];
    }

    public IPAddress Source { get; }

    public IPAddress Destination { get; }

    public bool IsIpv6 { get; }

    /// <summary>Protocol of the payload, behind any IPv6 extension headers.</summary>
    public byte Protocol { get; }

    /// <summary>Bytes that the packet's length fields give its payload; null if they do not even cover its header, or say nothing.</summary>
    public long? PayloadLength { get; private init; }

    /// <summary><see cref="PayloadLength"/>, or what the frame has behind the header where the length fields say nothing.</summary>
    public long Room { get; }

    /// <summary>The length is that of a jumbo payload option (RFC 2675), so that the UDP length may be 0.</summary>
    public bool IsJumbo { get; private init; }

    /// <summary>What was captured of the payload.</summary>
    public ReadOnlySpan<byte> Payload { get; }

    /// <summary>Why the header itself is not whole: null when it is. Unsound in a tunnel of which it is the header.</summary>
    public string? HeaderFault { get; private init; }

    /// <summary>The payload begins what other fragments go on with, so <see cref="PayloadLength"/> is that of the fragment only.</summary>
    public bool IsFirstFragment { get; private init; }

    /// <param name="bytes">What was captured from the IP header on.</param>
    /// <param name="length">Bytes from the IP header to the end of the frame on the wire.</param>
    /// <param name="decoded">Told what is wrong.</param>
    /// <param name="packet">The packet, if it has a payload in which a header may begin.</param>
    /// <returns>False without such a payload: a header that is incomplete or contradicts itself, or a fragment that is not the first.</returns>
    public static bool TryReadIpv4(ReadOnlySpan<byte> bytes, long length, DecodedFrame decoded, out OuterPacket packet)
    {
        packet = default;
        if (bytes.Length < Ipv4Packet.MinHeaderLength || bytes[0] >> 4 != 4) return false;
        int headerLength = (bytes[0] & 0x0f) * 4;
        if (headerLength < Ipv4Packet.MinHeaderLength) return false;
        int totalLength = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        if (totalLength > length) decoded.Fail($"IPv4 total length {totalLength} is past the frame, which has {length} bytes for it");

        int flagsAndOffset = BinaryPrimitives.ReadUInt16BigEndian(bytes[6..]);
        if ((flagsAndOffset & 0x1fff) != 0) return false;
        long? payloadLength = totalLength < headerLength ? null : totalLength - headerLength;
        long room = totalLength == 0 ? Math.Max(length - headerLength, 0) : payloadLength ?? 0;
        packet = new OuterPacket(bytes, isIpv6: false, bytes[9], bytes[Math.Min(headerLength, bytes.Length)..], room)
        {
            PayloadLength = payloadLength,
            IsFirstFragment = (flagsAndOffset & 0x2000) != 0,
            HeaderFault = totalLength != 0 && totalLength < headerLength ? $"IPv4 total length {totalLength} is under the header's {headerLength}"
                : bytes.Length < headerLength ? $"IPv4 options incomplete: {bytes.Length} of {headerLength} header bytes"
                : null,
        };
        return true;
    }

    /// <inheritdoc cref="TryReadIpv4"/>
    public static bool TryReadIpv6(ReadOnlySpan<byte> bytes, long length, DecodedFrame decoded, out OuterPacket packet)
    {
        packet = default;
        if (bytes.Length < Ipv6Packet.HeaderLength || bytes[0] >> 4 != 6) return false;
        long total = Ipv6Packet.HeaderLength + BinaryPrimitives.ReadUInt16BigEndian(bytes[4..]);
        uint jumbo = total == Ipv6Packet.HeaderLength && bytes[6] == IpProtocols.HopByHop ? JumboLength(bytes[Ipv6Packet.HeaderLength..]) : 0;
        total += jumbo;
        if (total > length)
            decoded.Fail($"IPv6 payload length {total - Ipv6Packet.HeaderLength} is past the frame, which has {length} bytes for the packet");

        byte protocol = bytes[6];
        int offset = Ipv6Packet.HeaderLength;
        bool isFirstFragment = false;
        while (IsExtension(protocol))
        {
            if (offset + 8 > Math.Min(total, bytes.Length)) return false;
            ReadOnlySpan<byte> header = bytes[offset..];
            if (protocol == IpProtocols.Fragment)
            {
                int offsetAndMore = BinaryPrimitives.ReadUInt16BigEndian(header[2..]);
                if (offsetAndMore >= 8) return false;
                isFirstFragment |= (offsetAndMore & 1) != 0;
            }
            offset += Ipv6HeaderChain.HeaderLength(protocol, header[1]);
            if (offset > Math.Min(total, bytes.Length)) return false;
            protocol = header[0];
        }
        packet = new OuterPacket(bytes, isIpv6: true, protocol, bytes[offset..], total - offset)
        {
            PayloadLength = total - offset,
            IsFirstFragment = isFirstFragment,
            IsJumbo = jumbo != 0,
        };
        return true;
    }

    /// <param name="header">Begins with hop-by-hop options.</param>
    /// <returns>What the jumbo payload option says (RFC 2675, 2); 0 without a sound one.</returns>
    private static uint JumboLength(ReadOnlySpan<byte> header)
    {
        if (header.Length < 8) return 0;
        ReadOnlySpan<byte> options = header[2..Math.Min(Ipv6HeaderChain.HeaderLength(IpProtocols.HopByHop, header[1]), header.Length)];
        while (options.Length >= 2)
        {
            int length = options[0] == 0 ? 1 : 2 + options[1];
            if (options[0] == JumboPayload && length == 6 && options.Length >= 6)
            {
                uint value = BinaryPrimitives.ReadUInt32BigEndian(options[2..]);
                return value > ushort.MaxValue ? value : 0;
            }
            if (length > options.Length) return 0;
            options = options[length..];
        }
        return 0;
    }

    /// <summary>A decoder also walks extension headers that no packet of ours carries.</summary>
    private static bool IsExtension(byte protocol) => Ipv6HeaderChain.IsExtension(protocol) || protocol is Mobility or HostIdentity or Shim6;
}
