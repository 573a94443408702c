using System.Runtime.InteropServices;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Tunnels;

/// <summary>
/// What a tunnel's exit makes of the congestion marks of outer and inner header (RFC 6040, 4.2, figure 4). Code points are those of RFC
/// 3168: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE.
/// </summary>
public static class EcnDecapsulation
{
    /// <summary>What <see cref="Combine"/> returns for a packet that must be dropped.</summary>
    public const int Drop = -1;

    private const int Mask = 3;
    private const int Ipv4TrafficClass = 1;
    private const int Ipv4Checksum = 10;

    // Row: inner code point; column: outer code point.
    private static ReadOnlySpan<sbyte> Figure4 =>
    [
        0, 0, 0, Drop,
        1, 1, 1, 3,
        2, 1, 2, 3,
        3, 3, 3, 3,
    ];

    /// <summary>The code point of the packet that leaves the tunnel, or <see cref="Drop"/>.</summary>
    /// <param name="inner">Inner code point; higher bits are ignored.</param>
    /// <param name="outer">Outer code point; higher bits are ignored.</param>
    public static int Combine(int inner, int outer) => Figure4[((inner & Mask) << 2) | (outer & Mask)];

    /// <summary>
    /// Marks an inner IP packet in place; the IPv4 header checksum follows incrementally, so that a wrong one stays wrong. Frames that are
    /// not IP have no marks and stay as they are.
    /// </summary>
    /// <returns>False when the packet must be dropped: congestion was met by a packet whose ends cannot react to it.</returns>
    public static bool TryApply(Span<byte> frame, ref InnerPacket packet, int outer)
    {
        if (!packet.IsIpv4 && !packet.IsIpv6) return true;
        int inner = packet.Ecn;
        int combined = Combine(inner, outer);
        if (combined == inner) return true;
        if (combined == Drop) return false;
        packet.TrafficClass = (byte)((packet.TrafficClass & ~Mask) | combined);
        Span<byte> header = frame[packet.NetworkOffset..];
        if (packet.IsIpv6)
        {
            header[1] = (byte)((header[1] & 0x0f) | (packet.TrafficClass << 4));
            return true;
        }
        ushort before = MemoryMarshal.Read<ushort>(header);
        header[Ipv4TrafficClass] = packet.TrafficClass;
        ushort checksum = InternetChecksum.Read(header[Ipv4Checksum..]);
        InternetChecksum.Store(header[Ipv4Checksum..], InternetChecksum.Update(checksum, before, MemoryMarshal.Read<ushort>(header)));
        return true;
    }
}
