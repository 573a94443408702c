using System.Net;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Offload;

/// <summary>
/// A TCP or UDP super-packet that is to become smaller ones: writes the headers of any run of its segments. Views the caller's bytes and
/// is valid as long as they are.
/// </summary>
public readonly ref struct SuperPacket
{
    private readonly ReadOnlySpan<byte> _headers;
    private readonly int _network;
    private readonly int _transport;
    private readonly int _transportLength;
    private readonly bool _isIpv4;
    private readonly bool _isTcp;
    private readonly ushort _identification;
    private readonly uint _sequenceNumber;
    private readonly TcpFlags _flags;
    private readonly ushort _partialChecksum;

    /// <param name="bytes">From any start to the end of the packet; what lies before the IP header is repeated before each segment's.</param>
    /// <param name="network">Where the IP header starts in <paramref name="bytes"/>.</param>
    /// <param name="packet">The packet; <see cref="OffloadRequest.IsConsistent"/> has accepted it as a super-packet.</param>
    /// <param name="segmentSize">Payload bytes of each segment; the last may be shorter.</param>
    public SuperPacket(ReadOnlySpan<byte> bytes, int network, in InnerPacket packet, int segmentSize)
    {
        SegmentSize = segmentSize;
        PayloadLength = packet.End - packet.HeadersEnd;
        _network = network;
        _transport = network + packet.TransportOffset - packet.NetworkOffset;
        _transportLength = packet.End - packet.TransportOffset;
        _headers = bytes[..(network + packet.HeadersEnd - packet.NetworkOffset)];
        _isIpv4 = packet.IsIpv4;
        _isTcp = packet.Protocol == IpProtocols.Tcp;
        if (_isIpv4)
        {
            Ipv4Packet.TryParse(bytes[network..], out Ipv4Packet ip);
            _identification = ip.Identification;
        }
        if (_isTcp)
        {
            TcpHeader.TryParse(bytes[_transport..], out TcpHeader tcp);
            _sequenceNumber = tcp.SequenceNumber;
            _flags = tcp.Flags;
        }
        _partialChecksum = InternetChecksum.Read(bytes[(_transport + ChecksumOffset)..]);
    }

    public int SegmentSize { get; }

    public int PayloadLength { get; }

    /// <summary>Bytes that <see cref="WriteHeaders"/> writes.</summary>
    public int HeaderLength => _headers.Length;

    /// <summary>Where the transport header starts in what <see cref="WriteHeaders"/> writes.</summary>
    public int TransportOffset => _transport;

    /// <summary>Where the IP header starts in what <see cref="WriteHeaders"/> writes.</summary>
    public int NetworkOffset => _network;

    private int ChecksumOffset => _isTcp ? TcpHeader.ChecksumOffset : UdpHeader.ChecksumOffset;

    /// <summary>
    /// Writes the headers of the packet that carries <paramref name="payloadLength"/> bytes from <paramref name="payloadOffset"/> on, as if
    /// it had been sent alone. The transport checksum is left unfinished: it holds the folded pseudo-header sum.
    /// </summary>
    /// <remarks>
    /// Lengths are its own; the IPv4 identification rises by one a segment; FIN and PSH stay on the last packet only, CWR on the first only
    /// (RFC 3168, 6.1.2: the sender answers one congestion signal once).
    /// </remarks>
    /// <param name="destination">At least <see cref="HeaderLength"/> bytes.</param>
    /// <param name="payloadOffset">A multiple of <see cref="SegmentSize"/>.</param>
    /// <param name="payloadLength">One or more segments.</param>
    public void WriteHeaders(Span<byte> destination, int payloadOffset, int payloadLength)
    {
        _headers.CopyTo(destination);
        int transportLength = _headers.Length - _transport + payloadLength;
        Span<byte> ip = destination[_network.._transport];
        if (_isIpv4)
            Ipv4Packet.Resize(ip, ip.Length + transportLength, (ushort)(_identification + (payloadOffset / SegmentSize)));
        else
            Ipv6Packet.Resize(ip, ip.Length - Ipv6Packet.HeaderLength + transportLength);

        Span<byte> transport = destination[_transport.._headers.Length];
        if (_isTcp)
            TcpHeader.Restart(transport, _sequenceNumber + (uint)payloadOffset, FlagsOf(payloadOffset, payloadLength));
        else
            UdpHeader.Resize(transport, transportLength);
        InternetChecksum.Store(transport[ChecksumOffset..], PartialChecksum(transportLength));
    }

    /// <summary>Finishes the checksum that <see cref="WriteHeaders"/> left.</summary>
    public void FinishChecksum(Span<byte> destination, ReadOnlySpan<byte> payload)
    {
        Span<byte> transport = destination[_transport.._headers.Length];
        ulong sum = InternetChecksum.Add(payload, InternetChecksum.Add(transport));
        InternetChecksum.Store(transport[ChecksumOffset..], _isTcp ? InternetChecksum.Finish(sum) : InternetChecksum.FinishUdp(sum));
    }

    private TcpFlags FlagsOf(int payloadOffset, int payloadLength)
    {
        TcpFlags flags = _flags;
        if (payloadOffset > 0) flags &= ~TcpFlags.Cwr;
        if (payloadOffset + payloadLength < PayloadLength) flags &= ~(TcpFlags.Fin | TcpFlags.Psh);
        return flags;
    }

    /// <summary>The pseudo-header sum with another length in it. The addresses stay the device's: a routing header's last hop may be among them.</summary>
    private ushort PartialChecksum(int transportLength) =>
        (ushort)~InternetChecksum.Update((ushort)~_partialChecksum, Native(_transportLength), Native(transportLength));

    private static ushort Native(int length) => (ushort)IPAddress.HostToNetworkOrder((short)length);
}
