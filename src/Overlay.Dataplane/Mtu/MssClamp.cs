using System.Buffers.Binary;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Mtu;

/// <summary>Lowers the MSS option of TCP SYNs (RFC 9293, 3.7.1), so that neither end sends segments that do not fit; it never raises one.</summary>
internal static class MssClamp
{
    public static bool IsSyn(ReadOnlySpan<byte> frame, in InnerPacket packet) =>
        packet.Protocol == IpProtocols.Tcp && packet.HasTransport
        && (frame[packet.TransportOffset + TcpHeader.FlagsOffset] & (byte)TcpFlags.Syn) != 0;

    /// <summary>Bytes of the largest IP packet that a SYN says its sender takes; null where it does not say.</summary>
    public static int? Offered(ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        ReadOnlySpan<byte> transport = frame[packet.TransportOffset..packet.HeadersEnd];
        int at = Find(transport);
        return at < 0 ? null : BinaryPrimitives.ReadUInt16BigEndian(transport[at..]) + HeadersLength(packet);
    }

    /// <summary>Where the option is found and says more than is allowed, lowers it and updates the checksum, finished or not.</summary>
    /// <param name="frame">The whole frame.</param>
    /// <param name="packet">The SYN in it: see <see cref="IsSyn"/>.</param>
    /// <param name="policy">What is to be clamped.</param>
    /// <param name="mtu">Most bytes of an IP packet on the way.</param>
    /// <param name="unfinished">The checksum field holds a pseudo-header sum: the option is not in it yet.</param>
    public static void Apply(Span<byte> frame, in InnerPacket packet, MtuPolicy policy, int mtu, bool unfinished)
    {
        if (policy.MssClamp == 0) return;
        int most = policy.MssClamp ?? mtu - HeadersLength(packet);
        Span<byte> transport = frame[packet.TransportOffset..packet.HeadersEnd];
        int at = Find(transport);
        if (at < 0 || most < 1) return;
        int offered = BinaryPrimitives.ReadUInt16BigEndian(transport[at..]);
        if (offered <= most) return;

        // The checksum covers words at even offsets of the header; the option may lie across two of them.
        int word = at & ~1;
        int words = (at & 1) == 0 ? 1 : 2;
        ushort first = InternetChecksum.Read(transport[word..]);
        ushort second = words == 2 ? InternetChecksum.Read(transport[(word + 2)..]) : (ushort)0;
        BinaryPrimitives.WriteUInt16BigEndian(transport[at..], (ushort)most);
        if (unfinished) return;
        Span<byte> field = transport[TcpHeader.ChecksumOffset..];
        ushort checksum = InternetChecksum.Update(InternetChecksum.Read(field), first, InternetChecksum.Read(transport[word..]));
        if (words == 2) checksum = InternetChecksum.Update(checksum, second, InternetChecksum.Read(transport[(word + 2)..]));
        InternetChecksum.Store(field, checksum);
    }

    private static int HeadersLength(in InnerPacket packet) =>
        (packet.IsIpv4 ? Ipv4Packet.MinHeaderLength : Ipv6Packet.HeaderLength) + TcpHeader.MinLength;

    /// <returns>Where the option's value lies in the header; negative where there is none.</returns>
    private static int Find(ReadOnlySpan<byte> header)
    {
        int at = TcpHeader.MinLength;
        while (at + 1 < header.Length)
        {
            byte kind = header[at];
            if (kind == TcpOptionReader.EndOfList) return -1;
            if (kind == TcpOptionReader.NoOperation)
            {
                at++;
                continue;
            }
            int length = header[at + 1];
            if (length < 2 || at + length > header.Length) return -1;
            if (kind == TcpOptionReader.MaximumSegmentSize) return length == 4 ? at + 2 : -1;
            at += length;
        }
        return -1;
    }
}
