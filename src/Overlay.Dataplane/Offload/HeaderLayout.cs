using System.Buffers.Binary;
using System.Runtime.Intrinsics;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Offload;

/// <summary>
/// Where the fields of a coalescible frame are: untagged Ethernet, IPv4 without options or IPv6 without extension headers, TCP or UDP.
/// Everything else is not coalesced, so every offset is a constant of one of four layouts. Each
/// exists a second time for bare IP packets, whose Ethernet header is not theirs.
/// </summary>
internal sealed class HeaderLayout
{
    /// <summary>Longest headers that are compared: more than IPv6 and a TCP header with all its options need.</summary>
    public const int MaxHeaders = 128;

    public const int NetworkOffset = EthernetFrame.MinHeaderLength;

    public const int Identification = NetworkOffset + 4;

    private const int V4Length = NetworkOffset + 2;
    private const int V4Fragment = NetworkOffset + 6;
    private const int V4Checksum = NetworkOffset + 10;
    private const int V4Addresses = NetworkOffset + 12;
    private const int V6Length = NetworkOffset + 4;
    private const int V6Addresses = NetworkOffset + 8;

    // Index: IPv4 4, TCP 2, bare IP 1.
    private static readonly HeaderLayout[] Layouts = [.. Enumerable.Range(0, 8).Select(i => new HeaderLayout((i & 4) != 0, (i & 2) != 0, (i & 1) != 0))];

    // 0xff where the headers of all packets of a run have to agree, 0 where each packet has a value of its own.
    private readonly byte[] _mask = new byte[MaxHeaders];

    private HeaderLayout(bool isIpv4, bool isTcp, bool isBareIp)
    {
        IsIpv4 = isIpv4;
        IsTcp = isTcp;
        TransportOffset = NetworkOffset + (isIpv4 ? Ipv4Packet.MinHeaderLength : Ipv6Packet.HeaderLength);
        Sequence = TransportOffset + 4;
        Flags = TransportOffset + TcpHeader.FlagsOffset;
        ChecksumInTransport = isTcp ? TcpHeader.ChecksumOffset : UdpHeader.ChecksumOffset;
        Array.Fill(_mask, byte.MaxValue);
        if (isBareIp) _mask.AsSpan(0, NetworkOffset).Clear();
        if (isIpv4)
        {
            _mask.AsSpan(V4Length, 4).Clear();
            _mask.AsSpan(V4Checksum, 2).Clear();
        }
        else
        {
            _mask.AsSpan(V6Length, 2).Clear();
        }
        _mask.AsSpan(Sequence, isTcp ? 4 : 2).Clear();
        if (isTcp) _mask[Flags] = 0;
        _mask.AsSpan(TransportOffset + ChecksumInTransport, 2).Clear();
    }

    public bool IsIpv4 { get; }

    public bool IsTcp { get; }

    public int TransportOffset { get; }

    /// <summary>TCP: the sequence number. UDP: the length.</summary>
    public int Sequence { get; }

    /// <summary>TCP: the control bits.</summary>
    public int Flags { get; }

    /// <summary>The checksum's offset in the TCP or UDP header.</summary>
    public int ChecksumInTransport { get; }

    public VirtioGsoType GsoType => !IsTcp ? VirtioGsoType.Udp : IsIpv4 ? VirtioGsoType.Tcp4 : VirtioGsoType.Tcp6;

    private byte Protocol => IsTcp ? IpProtocols.Tcp : IpProtocols.Udp;

    /// <summary>The layout of a parsed frame, or null where it has none of them. Says nothing about flags and checksums.</summary>
    public static HeaderLayout? Of(in InnerPacket packet)
    {
        if (!packet.HasTransport || packet.NetworkOffset != NetworkOffset || packet.HeadersEnd > MaxHeaders) return null;
        bool isTcp = packet.Protocol == IpProtocols.Tcp;
        HeaderLayout layout = Layouts[(packet.IsIpv4 ? 4 : 0) | (isTcp ? 2 : 0) | (packet.IsBareIp ? 1 : 0)];
        return packet.TransportOffset == layout.TransportOffset ? layout : null;
    }

    /// <summary>
    /// True when two frames agree in all headers but for lengths, checksums, IPv4 identification, TCP sequence number and control bits.
    /// Since that covers versions, header lengths, fragment fields, protocol and MAC addresses, a frame that agrees with a parsed
    /// one needs no parsing of its own beyond its lengths.
    /// </summary>
    /// <param name="first">At least <paramref name="headersEnd"/> bytes, a frame of this layout.</param>
    /// <param name="frame">At least <paramref name="headersEnd"/> bytes.</param>
    /// <param name="headersEnd">Bytes of all headers of <paramref name="first"/>: from 42 to <see cref="MaxHeaders"/>.</param>
    public bool Agree(ReadOnlySpan<byte> first, ReadOnlySpan<byte> frame, int headersEnd)
    {
        // Two loads cover 33 to 64 bytes, or 65 to 128, by overlapping.
        ReadOnlySpan<byte> mask = _mask;
        if (headersEnd >= Vector512<byte>.Count)
        {
            int tail = headersEnd - Vector512<byte>.Count;
            Vector512<byte> start = (Vector512.Create(first) ^ Vector512.Create(frame)) & Vector512.Create(mask);
            Vector512<byte> rest = (Vector512.Create(first[tail..]) ^ Vector512.Create(frame[tail..])) & Vector512.Create(mask[tail..]);
            return (start | rest) == Vector512<byte>.Zero;
        }
        else
        {
            int tail = headersEnd - Vector256<byte>.Count;
            Vector256<byte> start = (Vector256.Create(first) ^ Vector256.Create(frame)) & Vector256.Create(mask);
            Vector256<byte> rest = (Vector256.Create(first[tail..]) ^ Vector256.Create(frame[tail..])) & Vector256.Create(mask[tail..]);
            return (start | rest) == Vector256<byte>.Zero;
        }
    }

    /// <summary>Source and destination address.</summary>
    public ReadOnlySpan<byte> Addresses(ReadOnlySpan<byte> frame) => IsIpv4 ? frame.Slice(V4Addresses, 8) : frame.Slice(V6Addresses, 32);

    /// <summary>The end of the IP packet in the frame, by its length field; it may lie beyond the frame.</summary>
    public int End(ReadOnlySpan<byte> frame) => IsIpv4
        ? NetworkOffset + BinaryPrimitives.ReadUInt16BigEndian(frame[V4Length..])
        : NetworkOffset + Ipv6Packet.HeaderLength + BinaryPrimitives.ReadUInt16BigEndian(frame[V6Length..]);

    /// <summary>IPv4 only.</summary>
    public static bool DontFragment(ReadOnlySpan<byte> frame) => (frame[V4Fragment] & 0x40) != 0;

    /// <summary>Always true of IPv6, which has none.</summary>
    public bool IsNetworkChecksumValid(ReadOnlySpan<byte> frame) =>
        !IsIpv4 || InternetChecksum.IsValid(InternetChecksum.Add(frame.Slice(NetworkOffset, Ipv4Packet.MinHeaderLength)));

    /// <param name="frame">The headers.</param>
    /// <param name="transportLength">Bytes of transport header and payload.</param>
    public ulong PseudoHeader(ReadOnlySpan<byte> frame, int transportLength) => IsIpv4
        ? InternetChecksum.PseudoHeaderV4(Addresses(frame), Protocol, transportLength)
        : InternetChecksum.PseudoHeaderV6(Addresses(frame), Protocol, transportLength);

    /// <summary>
    /// Rewrites the headers of a run's first packet for the super-packet: lengths, IPv4 header checksum, and as the transport checksum the
    /// folded pseudo-header sum, not inverted, to which the kernel or the NIC adds the rest.
    /// </summary>
    /// <param name="frame">All headers.</param>
    /// <param name="transportLength">Bytes of transport header and all payloads.</param>
    public void WriteSuperPacket(Span<byte> frame, int transportLength)
    {
        if (IsIpv4)
        {
            BinaryPrimitives.WriteUInt16BigEndian(frame[V4Length..], (ushort)(TransportOffset - NetworkOffset + transportLength));
            InternetChecksum.Store(frame[V4Checksum..], 0);
            ulong sum = InternetChecksum.Add(frame.Slice(NetworkOffset, Ipv4Packet.MinHeaderLength));
            InternetChecksum.Store(frame[V4Checksum..], InternetChecksum.Finish(sum));
        }
        else
        {
            BinaryPrimitives.WriteUInt16BigEndian(frame[V6Length..], (ushort)transportLength);
        }
        if (!IsTcp) BinaryPrimitives.WriteUInt16BigEndian(frame[Sequence..], (ushort)transportLength);
        InternetChecksum.Store(frame[(TransportOffset + ChecksumInTransport)..], InternetChecksum.Fold(PseudoHeader(frame, transportLength)));
    }
}
