using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>
/// Where the extension headers of an IPv6 packet (RFC 8200, 4) end: hop-by-hop options, routing, fragment, destination options and
/// authentication (RFC 4302). Every other protocol is the upper layer, encapsulating security payload included, as nothing behind it can
/// be read.
/// </summary>
/// <remarks>
/// Rules that make <see cref="WireStatus.BadField"/>: hop-by-hop options anywhere but first (RFC 8200, 4.1), a second fragment header,
/// more than <see cref="MaxHeaders"/> headers. A first fragment has to hold the whole chain, the upper-layer header included (RFC 7112),
/// or it is <see cref="WireStatus.Truncated"/>.
/// </remarks>
internal readonly struct Ipv6HeaderChain
{
    /// <summary>Extension headers that are walked. RFC 8200, 4.1 recommends an order with seven at most.</summary>
    public const int MaxHeaders = 8;

    private const int FragmentHeaderLength = 8;

    private Ipv6HeaderChain(byte upperProtocol, int upperOffset, int fragmentHeaderOffset)
    {
        UpperProtocol = upperProtocol;
        UpperOffset = (ushort)upperOffset;
        FragmentHeaderOffset = (ushort)fragmentHeaderOffset;
    }

    public byte UpperProtocol { get; }

    /// <summary>Bytes from the start of the packet.</summary>
    public ushort UpperOffset { get; }

    /// <summary>Bytes from the start of the packet; 0 without a fragment header.</summary>
    public ushort FragmentHeaderOffset { get; }

    /// <param name="packet">Exactly the packet, its fixed header complete.</param>
    /// <param name="chain">The end of the chain.</param>
    public static WireStatus TryWalk(ReadOnlySpan<byte> packet, out Ipv6HeaderChain chain)
    {
        chain = default;
        byte protocol = packet[6];
        int offset = Ipv6Packet.HeaderLength;
        int fragment = 0;
        for (int headers = 0; IsExtension(protocol); headers++)
        {
            if (headers == MaxHeaders || (protocol == IpProtocols.HopByHop && headers > 0)) return WireStatus.BadField;
            ReadOnlySpan<byte> header = packet[offset..];
            if (header.Length < 8) return WireStatus.Truncated;
            int length = HeaderLength(protocol, header[1]);
            if (length > header.Length) return WireStatus.Truncated;
            if (protocol == IpProtocols.Fragment)
            {
                if (fragment != 0) return WireStatus.BadField;
                fragment = offset;
            }
            bool isLaterFragment = protocol == IpProtocols.Fragment && BinaryPrimitives.ReadUInt16BigEndian(header[2..]) >= 8;
            protocol = header[0];
            offset += length;
            if (isLaterFragment)
            {
                chain = new Ipv6HeaderChain(protocol, offset, fragment);
                return WireStatus.Ok;
            }
        }
        bool isFirstFragment = fragment != 0 && (packet[fragment + 3] & 1) != 0;
        if (isFirstFragment && packet.Length - offset < UpperHeaderLength(protocol)) return WireStatus.Truncated;
        chain = new Ipv6HeaderChain(protocol, offset, fragment);
        return WireStatus.Ok;
    }

    /// <summary>True for the extension headers that are walked.</summary>
    public static bool IsExtension(byte protocol) => protocol
        is IpProtocols.HopByHop or IpProtocols.Routing or IpProtocols.Fragment or IpProtocols.DestinationOptions
        or IpProtocols.AuthenticationHeader;

    /// <summary>Bytes of an extension header; the length field has units of its own in fragment and authentication headers.</summary>
    public static int HeaderLength(byte protocol, byte lengthField) => protocol switch
    {
        IpProtocols.Fragment => FragmentHeaderLength,
        IpProtocols.AuthenticationHeader => (lengthField + 2) * 4,
        _ => (lengthField + 1) * 8,
    };

    private static int UpperHeaderLength(byte protocol) => protocol switch
    {
        IpProtocols.Tcp => TcpHeader.MinLength,
        IpProtocols.Udp => UdpHeader.HeaderLength,
        IpProtocols.Icmpv6 => 8,
        _ => 0,
    };
}
