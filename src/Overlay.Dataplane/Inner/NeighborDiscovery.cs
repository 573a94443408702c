using Overlay.Wire;

namespace Overlay.Dataplane.Inner;

/// <summary>Solicitations and advertisements inside frames (RFC 4861).</summary>
internal static class NeighborDiscovery
{
    /// <summary>The hop limit of messages that no router forwarded.</summary>
    public const byte HopLimit = 255;

    /// <summary>Takes a message apart.</summary>
    /// <param name="frame">The whole frame.</param>
    /// <param name="packet">An ICMPv6 packet in it.</param>
    /// <param name="checksumUnfinished">True when the device left the checksum to us, so that there is none to check.</param>
    /// <param name="ip">The message's IPv6 packet.</param>
    /// <param name="message">What it says.</param>
    /// <returns>False where it must not be acted on (RFC 4861, 7.1).</returns>
    public static bool TryParse(
        ReadOnlySpan<byte> frame, in InnerPacket packet, bool checksumUnfinished, out Ipv6Packet ip, out NeighborMessage message)
    {
        Ipv6Packet.TryParse(frame[packet.NetworkOffset..], out ip);
        Icmpv6Header.TryParse(ip.UpperPayload, out Icmpv6Header icmp);
        return NeighborMessage.TryParse(ip.UpperPayload, out message) == WireStatus.Ok
            && ip.HopLimit == HopLimit && (checksumUnfinished || icmp.IsChecksumValid(ip.Addresses));
    }
}
