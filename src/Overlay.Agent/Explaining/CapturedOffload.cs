using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Wire;

namespace Overlay.Agent.Explaining;

/// <summary>
/// What a device says of a frame, where only its bytes are known: captures at a device hold the checksums that it leaves to us, and super-packets,
/// without saying so.
/// </summary>
internal static class CapturedOffload
{
    /// <param name="frame">The checksum of a super-packet is made unfinished, as a device hands it over.</param>
    /// <param name="segment">Whose device it is: a frame with an unfinished checksum that is larger than its MTU is a super-packet.</param>
    /// <param name="segmentSize">Payload bytes of each segment of a super-packet; null: as far as can be seen.</param>
    /// <exception cref="QuestionRefusedException">It cannot be a super-packet.</exception>
    public static VirtioNetHeader Of(byte[] frame, Segment segment, int? segmentSize)
    {
        if (InnerPacket.TryParse(frame, out InnerPacket packet) != WireStatus.Ok || !packet.HasTransport || packet.IsFragment)
        {
            return segmentSize is null ? default
                : throw new QuestionRefusedException("the frame is no whole TCP or UDP packet, so it is no super-packet; leave the size of segments out");
        }
        bool isTcp = packet.Protocol == IpProtocols.Tcp;
        int field = isTcp ? TcpHeader.ChecksumOffset : UdpHeader.ChecksumOffset;
        int length = packet.TransportEnd - packet.TransportOffset, payload = packet.TransportEnd - packet.HeadersEnd;
        Span<byte> checksum = frame.AsSpan(packet.TransportOffset + field, sizeof(ushort));
        ushort pseudoHeader = InternetChecksum.Fold(packet.IsIpv4
            ? InternetChecksum.PseudoHeaderV4(frame.AsSpan(packet.NetworkOffset + 12, 8), packet.Protocol, length)
            : InternetChecksum.PseudoHeaderV6(frame.AsSpan(packet.NetworkOffset + 8, 32), packet.Protocol, length));
        bool isUnfinished = InternetChecksum.Read(checksum) == pseudoHeader;
        int? size = segmentSize ?? (isUnfinished && packet.End - packet.NetworkOffset > segment.Mtu ? segment.Mtu - (packet.HeadersEnd - packet.NetworkOffset) : null);
        if (size is < 1 or > ushort.MaxValue) throw new QuestionRefusedException("a segment has 1 to 65535 bytes of payload");
        bool isSuper = size is { } most && most < payload;
        if (!isUnfinished && !isSuper) return default;
        InternetChecksum.Store(checksum, pseudoHeader);
        return new VirtioNetHeader
        {
            Flags = VirtioNetFlags.NeedsChecksum,
            GsoType = !isSuper ? VirtioGsoType.None : !isTcp ? VirtioGsoType.Udp : packet.IsIpv4 ? VirtioGsoType.Tcp4 : VirtioGsoType.Tcp6,
            HeaderLength = (ushort)packet.HeadersEnd,
            SegmentSize = (ushort)(isSuper ? size!.Value : 0),
            ChecksumStart = (ushort)packet.TransportOffset,
            ChecksumOffset = (ushort)field,
        };
    }
}
