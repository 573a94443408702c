using Overlay.Wire;

namespace Overlay.Dataplane.Tunnels;

/// <summary>
/// The tunnel encapsulation limit option (RFC 2473, 4.1.1): how many further tunnels may enclose the packet that has it. It stands in a
/// destination options header right behind the fixed or the hop-by-hop options header of an IPv6 packet.
/// </summary>
public static class TunnelEncapsulationLimit
{
    /// <summary>Bytes of a destination options header with this option alone.</summary>
    public const int HeaderLength = 8;

    private const byte OptionType = 4;
    private const byte Pad1 = 0;
    private const byte PadN = 1;

    /// <summary>Writes a destination options header with the option and padding.</summary>
    /// <param name="header"><see cref="HeaderLength"/> bytes.</param>
    /// <param name="nextHeader">Protocol of what follows: see <see cref="IpProtocols"/>.</param>
    /// <param name="limit">Further tunnels that may enclose the packet.</param>
    public static void Write(Span<byte> header, byte nextHeader, byte limit)
    {
        ReadOnlySpan<byte> bytes = [nextHeader, 0, OptionType, 1, limit, PadN, 1, 0];
        bytes.CopyTo(header);
    }

    /// <summary>Finds the limit of a packet.</summary>
    /// <param name="packet">An IPv6 packet whose header chain was accepted by <see cref="Ipv6Packet.TryParse"/>.</param>
    /// <param name="offset">Where the limit is in the packet: what the pointer of a parameter problem names.</param>
    /// <returns>The limit, or -1 where there is none.</returns>
    public static int Find(ReadOnlySpan<byte> packet, out int offset)
    {
        offset = Ipv6Packet.HeaderLength;
        byte protocol = packet[6];
        if (protocol == IpProtocols.HopByHop)
        {
            protocol = packet[offset];
            offset += (packet[offset + 1] + 1) * 8;
        }
        if (protocol != IpProtocols.DestinationOptions) return -1;
        int end = offset + ((packet[offset + 1] + 1) * 8);
        offset += 2;
        while (offset < end)
        {
            if (packet[offset] == Pad1)
            {
                offset++;
                continue;
            }
            if (offset + 2 > end) return -1;
            int length = packet[offset + 1];
            if (offset + 2 + length > end) return -1;
            if (packet[offset] == OptionType && length == 1)
            {
                offset += 2;
                return packet[offset];
            }
            offset += 2 + length;
        }
        return -1;
    }
}
