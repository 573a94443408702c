namespace Overlay.Wire.Decoding;

/// <summary>Reads the addresses behind a tunnel header. Judges nothing: what cannot be read stays null.</summary>
internal static class InnerHeaders
{
    /// <param name="etherType">What the payload is: <see cref="EtherTypes.TransparentEthernet"/>, IPv4, IPv6 or anything else.</param>
    /// <param name="payload">What was captured after the tunnel header, within the outer lengths.</param>
    /// <param name="decoded">Gets the addresses.</param>
    public static void Read(ushort etherType, ReadOnlySpan<byte> payload, DecodedFrame decoded)
    {
        switch (etherType)
        {
            case EtherTypes.TransparentEthernet when payload.Length >= EthernetFrame.MinHeaderLength:
                decoded.InnerEthernetDestination = new MacAddress(payload);
                decoded.InnerEthernetSource = new MacAddress(payload[MacAddress.Length..]);
                if (LinkHeader.TryRead(payload, out ushort innerType, out int headerLength) && innerType != EtherTypes.TransparentEthernet)
                    Read(innerType, payload[headerLength..], decoded);
                break;
            case EtherTypes.Ipv4 when payload.Length >= Ipv4Packet.MinHeaderLength && payload[0] >> 4 == 4:
                (decoded.InnerSource, decoded.InnerDestination) = IpAddresses.Read(payload, isIpv6: false);
                break;
            case EtherTypes.Ipv6 when payload.Length >= Ipv6Packet.HeaderLength && payload[0] >> 4 == 6:
                (decoded.InnerSource, decoded.InnerDestination) = IpAddresses.Read(payload, isIpv6: true);
                break;
        }
    }
}
