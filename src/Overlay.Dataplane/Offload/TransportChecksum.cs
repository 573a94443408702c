using System.Buffers.Binary;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Offload;

/// <summary>What a TCP or UDP checksum says of its packet.</summary>
internal enum ChecksumState : byte
{
    /// <summary>Wrong, absent (UDP over IPv4 may leave it zero), or over another length than the IP packet's: the receiver decides.</summary>
    Unproven,

    /// <summary>Verified over header and payload.</summary>
    Valid,

    /// <summary>
    /// The folded pseudo-header sum, not inverted: the sender left the rest to a NIC that was never there, as a kernel tunnel does over
    /// a virtual link. One wrong checksum in 65,536 looks the same, no more than a checksum misses anyway.
    /// </summary>
    Unfinished,
}

/// <summary>Judges the TCP or UDP checksum of a received packet.</summary>
internal static class TransportChecksum
{
    /// <param name="frame">The frame that was parsed.</param>
    /// <param name="packet">Has a complete TCP or UDP header.</param>
    public static ChecksumState Check(ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        ReadOnlySpan<byte> message = frame[packet.TransportOffset..packet.End];
        bool isTcp = packet.Protocol == IpProtocols.Tcp;
        ushort stored = InternetChecksum.Read(message[Offset(packet)..]);
        if (!isTcp && (stored == 0 || BinaryPrimitives.ReadUInt16BigEndian(message[4..]) != message.Length)) return ChecksumState.Unproven;
        ulong pseudo = PseudoHeader(frame, packet);
        if (InternetChecksum.IsValid(InternetChecksum.Add(message, pseudo))) return ChecksumState.Valid;
        return stored == InternetChecksum.Fold(pseudo) ? ChecksumState.Unfinished : ChecksumState.Unproven;
    }

    /// <summary>Puts the folded pseudo-header sum in the place of a finished checksum.</summary>
    /// <param name="frame">The frame that was parsed.</param>
    /// <param name="packet">Has a complete TCP or UDP header.</param>
    public static void Unfinish(Span<byte> frame, in InnerPacket packet) =>
        InternetChecksum.Store(frame[(packet.TransportOffset + Offset(packet))..], InternetChecksum.Fold(PseudoHeader(frame, packet)));

    private static ulong PseudoHeader(ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        int length = packet.End - packet.TransportOffset;
        return packet.IsIpv4
            ? InternetChecksum.PseudoHeaderV4(frame.Slice(packet.NetworkOffset + 12, 8), packet.Protocol, length)
            : InternetChecksum.PseudoHeaderV6(frame.Slice(packet.NetworkOffset + 8, 32), packet.Protocol, length);
    }

    /// <summary>The checksum's offset in the transport header.</summary>
    public static int Offset(in InnerPacket packet) =>
        packet.Protocol == IpProtocols.Tcp ? TcpHeader.ChecksumOffset : UdpHeader.ChecksumOffset;
}
