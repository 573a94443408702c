using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Offload;

/// <summary>Holds what a device asks for in a virtio-net header against the packet behind it: the header is input like any other.</summary>
public static class OffloadRequest
{
    /// <summary>Most segments of a super-packet: 64 KB in segments of half the smallest MSS that Linux uses.</summary>
    public const int MaxSegments = 2_730;

    /// <summary>True when every field agrees with the packet, so that acting on it stays inside the packet.</summary>
    /// <param name="offload">As the device delivered it.</param>
    /// <param name="packet">An IP packet.</param>
    /// <param name="segments">Packets the frame stands for; 1 unless it is a super-packet.</param>
    public static bool IsConsistent(in VirtioNetHeader offload, in InnerPacket packet, out int segments)
    {
        segments = 1;
        bool unfinished = (offload.Flags & VirtioNetFlags.NeedsChecksum) != 0;
        if ((offload.GsoType & ~VirtioGsoType.Ecn) == VirtioGsoType.None) return !unfinished || ChecksumFits(offload, packet);

        // virtio 1.2, 5.1.6.4.1: a super-packet always comes with an unfinished checksum.
        if (!unfinished || !packet.HasTransport || packet.TransportEnd != packet.End) return false;
        if (offload.ChecksumStart != packet.TransportOffset || !ChecksumFits(offload, packet)) return false;
        if (!TypeFits(offload.GsoType & ~VirtioGsoType.Ecn, packet) || offload.SegmentSize == 0) return false;
        int count = Math.Max(1, (packet.End - packet.HeadersEnd + offload.SegmentSize - 1) / offload.SegmentSize);
        if (count > MaxSegments) return false;
        segments = count;
        return true;
    }

    private static bool TypeFits(VirtioGsoType type, in InnerPacket packet) => type switch
    {
        VirtioGsoType.Tcp4 => packet.IsIpv4 && packet.Protocol == IpProtocols.Tcp,
        VirtioGsoType.Tcp6 => packet.IsIpv6 && packet.Protocol == IpProtocols.Tcp,
        VirtioGsoType.Udp => packet.Protocol == IpProtocols.Udp,
        _ => false,
    };

    private static bool ChecksumFits(in VirtioNetHeader offload, in InnerPacket packet)
    {
        if (packet.IsFragment || offload.ChecksumStart < packet.TransportOffset) return false;
        if (offload.ChecksumStart + offload.ChecksumOffset + sizeof(ushort) > packet.TransportEnd) return false;
        if (offload.ChecksumStart != packet.TransportOffset || !packet.HasTransport) return true;
        return offload.ChecksumOffset == (packet.Protocol == IpProtocols.Tcp ? TcpHeader.ChecksumOffset : UdpHeader.ChecksumOffset);
    }
}
