using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Agent.Explaining;

/// <summary>Whether a packet's TCP or UDP checksum is what it should be.</summary>
internal static class ChecksumText
{
    /// <returns>Null where UDP over IPv4 has none.</returns>
    public static bool? Of(ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        ReadOnlySpan<byte> message = frame[packet.TransportOffset..packet.TransportEnd];
        if (packet is { IsIpv4: true, Protocol: IpProtocols.Udp } && InternetChecksum.Read(message[UdpHeader.ChecksumOffset..]) == 0) return null;
        ulong pseudoHeader = packet.IsIpv4
            ? InternetChecksum.PseudoHeaderV4(frame.Slice(packet.NetworkOffset + 12, 8), packet.Protocol, message.Length)
            : InternetChecksum.PseudoHeaderV6(frame.Slice(packet.NetworkOffset + 8, 32), packet.Protocol, message.Length);
        return InternetChecksum.IsValid(InternetChecksum.Add(message, pseudoHeader));
    }
}
