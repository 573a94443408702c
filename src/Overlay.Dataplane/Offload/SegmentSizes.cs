using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Offload;

/// <summary>
/// How a packet with an unfinished checksum is handed to a device. Such packets come from a kernel tunnel over a virtual link, where no
/// NIC finishes checksums nor segments: so they can be super-packets too, whose segment size the tunnel does not carry.
/// <para>
/// TCP longer than the device's MTU is cut to the MTU. That is right for every receiver, since TCP has no message boundaries.
/// </para>
/// <para>
/// UDP has them, so the true size is needed, and a guess from the MTU would tear a datagram apart. The kernel tells: with UDP_GRO set on
/// the socket it reports the inner super-packet's segment size as if it were that of the received train. Where it says nothing, the packet
/// is one datagram of a sender with a larger MTU, and is passed on as one.
/// </para>
/// </summary>
/// <param name="Mtu">MTU of the device: most bytes of an IP packet.</param>
/// <param name="Datagram">UDP payload bytes of each datagram in a super-packet that arrived whole; 0 where none did.</param>
public readonly record struct SegmentSizes(int Mtu, int Datagram)
{
    /// <summary>Describes a packet with an unfinished TCP or UDP checksum, from the Ethernet header to <see cref="InnerPacket.End"/>.</summary>
    /// <returns>Packets that it is to be segmented into: 1 where it is no super-packet.</returns>
    internal int Describe(ReadOnlySpan<byte> frame, in InnerPacket packet, out VirtioNetHeader offload)
    {
        offload = new VirtioNetHeader
        {
            Flags = VirtioNetFlags.NeedsChecksum,
            HeaderLength = (ushort)packet.HeadersEnd,
            ChecksumStart = (ushort)packet.TransportOffset,
            ChecksumOffset = (ushort)TransportChecksum.Offset(packet),
        };
        int payload = packet.End - packet.HeadersEnd;
        int size = Datagram;
        VirtioGsoType type = VirtioGsoType.Udp;
        if (packet.Protocol == IpProtocols.Tcp)
        {
            size = Mtu - (packet.HeadersEnd - packet.NetworkOffset);
            type = packet.IsIpv4 ? VirtioGsoType.Tcp4 : VirtioGsoType.Tcp6;
            if (((TcpFlags)frame[packet.TransportOffset + TcpHeader.FlagsOffset] & TcpFlags.Cwr) != 0) type |= VirtioGsoType.Ecn;
        }
        if (size <= 0 || payload <= size) return 1;
        offload.GsoType = type;
        offload.SegmentSize = (ushort)size;
        return (payload + size - 1) / size;
    }
}
