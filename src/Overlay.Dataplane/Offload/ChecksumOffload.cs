using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Offload;

/// <summary>Finishes the transport checksum that a device left to us (virtio 1.2, 5.1.6.2).</summary>
public static class ChecksumOffload
{
    /// <summary>Sums from the start that the device named and stores the result where it named. A UDP checksum of zero becomes 0xffff (RFC 768).</summary>
    /// <param name="frame">The whole frame.</param>
    /// <param name="packet">The packet in it.</param>
    /// <param name="offload">Asks for a checksum, and <see cref="OffloadRequest.IsConsistent"/> has accepted it.</param>
    public static void Finish(Span<byte> frame, in InnerPacket packet, in VirtioNetHeader offload)
    {
        Span<byte> covered = frame[offload.ChecksumStart..packet.TransportEnd];
        ulong sum = InternetChecksum.Add(covered);
        bool isUdp = offload.ChecksumOffset == UdpHeader.ChecksumOffset;
        InternetChecksum.Store(covered[offload.ChecksumOffset..], isUdp ? InternetChecksum.FinishUdp(sum) : InternetChecksum.Finish(sum));
    }
}
