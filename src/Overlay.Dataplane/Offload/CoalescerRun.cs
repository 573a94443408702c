using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Offload;

/// <summary>
/// Consecutive packets of one flow that are to become one super-packet. What they have in common is read from the first packet's frame,
/// which stays as it was received until the run ends; here is what changes from packet to packet.
/// </summary>
internal struct CoalescerRun
{
    private const TcpFlags Plain = TcpFlags.Ack;

    // The kernel's UDP_MAX_SEGMENTS, which later kernels doubled: a device refuses more.
    private const int MaxDatagrams = 64;

    private const int MaxIpLength = 65_535;

    /// <summary>Most packets of a run, each a slice of its own: below what one write gathers, and as much as 65,535 bytes need from 256 bytes a packet.</summary>
    public const int MaxPackets = 256;

    public HeaderLayout Layout;

    /// <summary>Grows with every run opened: the smallest is the oldest.</summary>
    public long Age;

    /// <summary>Where the first packet's frame starts in the receive memory.</summary>
    public int Offset;

    /// <summary>Bytes of the headers, Ethernet's included.</summary>
    public int HeadersEnd;

    /// <summary>Payload bytes of every packet but the last.</summary>
    public int SegmentSize;

    /// <summary>Payload bytes of all packets.</summary>
    public int Payload;

    public int Packets;

    /// <summary>The inner ECN code point.</summary>
    public byte Ecn;

    // One's-complement sum of the IPv4 length, identification and checksum words: the other words being equal, it is the same for every
    // packet with a right header checksum.
    private ushort _headerSum;
    private ushort _nextIdentification;
    private bool _anyIdentification;
    private bool _push;
    private uint _nextSequence;

    /// <summary>True when no packet may follow: the last one was short or had PSH, or there is no room for another of full size.</summary>
    public readonly bool IsComplete =>
        _push || Payload != Packets * SegmentSize || Packets == (Layout.IsTcp ? MaxPackets : MaxDatagrams)
        || HeadersEnd - HeaderLayout.NetworkOffset + Payload + SegmentSize > MaxIpLength;

    /// <summary>Bytes of transport header and all payloads.</summary>
    public readonly int TransportLength => HeadersEnd - Layout.TransportOffset + Payload;

    /// <summary>
    /// Starts a run with a packet whose checksum is <see cref="ChecksumState.Valid"/>. TCP may have no flag but ACK, and must have it.
    /// </summary>
    /// <returns>False when the packet cannot be part of any run.</returns>
    public static bool TryStart(ReadOnlySpan<byte> frame, int offset, in InnerPacket packet, out CoalescerRun run)
    {
        run = default;
        HeaderLayout? layout = HeaderLayout.Of(packet);
        if (layout is null || packet.End == packet.HeadersEnd || !layout.IsNetworkChecksumValid(frame)) return false;
        if (layout.IsTcp)
        {
            bool reserved = (frame[layout.Flags - 1] & 0x0f) != 0;
            if (reserved || (TcpFlags)frame[layout.Flags] != Plain) return false;
            run._nextSequence = BinaryPrimitives.ReadUInt32BigEndian(frame[layout.Sequence..]) + (uint)(packet.End - packet.HeadersEnd);
        }
        run.Layout = layout;
        run.Offset = offset;
        run.HeadersEnd = packet.HeadersEnd;
        run.SegmentSize = run.Payload = packet.End - packet.HeadersEnd;
        run.Packets = 1;
        run.Ecn = packet.Ecn;
        if (layout.IsIpv4)
        {
            run._headerSum = HeaderSum(frame);
            run._anyIdentification = HeaderLayout.DontFragment(frame);
            run._nextIdentification = (ushort)(BinaryPrimitives.ReadUInt16BigEndian(frame[HeaderLayout.Identification..]) + 1);
        }
        return true;
    }

    /// <summary>Takes a packet into the run if it continues it: see <see cref="Coalescer"/> for the rules. The frame is only read.</summary>
    /// <param name="first">The frame of the first packet.</param>
    /// <param name="frame">The packet that may follow.</param>
    /// <returns>Payload bytes taken, which lie behind the headers; 0 when the packet does not belong here.</returns>
    public int TryTake(ReadOnlySpan<byte> first, ReadOnlySpan<byte> frame)
    {
        HeaderLayout layout = Layout;
        int headersEnd = HeadersEnd;
        if (frame.Length <= headersEnd || !layout.Agree(first, frame, headersEnd)) return 0;
        int end = layout.End(frame);
        int payload = end - headersEnd;
        if (end > frame.Length || payload <= 0 || payload > SegmentSize) return 0;
        if (headersEnd - HeaderLayout.NetworkOffset + Payload + payload > MaxIpLength) return 0;

        TcpFlags flags = TcpFlags.None;
        if (layout.IsTcp)
        {
            flags = (TcpFlags)frame[layout.Flags];
            if ((flags & ~TcpFlags.Psh) != Plain) return 0;
            if (BinaryPrimitives.ReadUInt32BigEndian(frame[layout.Sequence..]) != _nextSequence) return 0;
        }
        else if (BinaryPrimitives.ReadUInt16BigEndian(frame[layout.Sequence..]) != end - layout.TransportOffset)
        {
            return 0;
        }
        if (layout.IsIpv4)
        {
            ushort identification = BinaryPrimitives.ReadUInt16BigEndian(frame[HeaderLayout.Identification..]);
            if ((!_anyIdentification && identification != _nextIdentification) || HeaderSum(frame) != _headerSum) return 0;
        }
        if (!IsTransportChecksumValid(layout, frame, end)) return 0;

        _nextIdentification++;
        _nextSequence += (uint)payload;
        _push = (flags & TcpFlags.Psh) != 0;
        Payload += payload;
        Packets++;
        return payload;
    }

    /// <summary>Rewrites the first packet's headers into the super-packet's.</summary>
    /// <returns>What the device has to know of it.</returns>
    public readonly VirtioNetHeader Finish(Span<byte> first)
    {
        if (_push) first[Layout.Flags] |= (byte)TcpFlags.Psh;
        Layout.WriteSuperPacket(first, TransportLength);
        return new VirtioNetHeader
        {
            Flags = VirtioNetFlags.NeedsChecksum,
            GsoType = Layout.GsoType,
            HeaderLength = (ushort)HeadersEnd,
            SegmentSize = (ushort)SegmentSize,
            ChecksumStart = (ushort)Layout.TransportOffset,
            ChecksumOffset = (ushort)Layout.ChecksumInTransport,
        };
    }

    private static bool IsTransportChecksumValid(HeaderLayout layout, ReadOnlySpan<byte> frame, int end)
    {
        ReadOnlySpan<byte> message = frame[layout.TransportOffset..end];
        if (!layout.IsTcp && InternetChecksum.Read(message[UdpHeader.ChecksumOffset..]) == 0) return false;
        return InternetChecksum.IsValid(InternetChecksum.Add(message, layout.PseudoHeader(frame, message.Length)));
    }

    private static ushort HeaderSum(ReadOnlySpan<byte> frame)
    {
        ReadOnlySpan<byte> header = frame[HeaderLayout.NetworkOffset..];
        uint lengthAndIdentification = MemoryMarshal.Read<uint>(header[2..]);
        return InternetChecksum.Fold((ulong)lengthAndIdentification + InternetChecksum.Read(header[10..]));
    }
}
