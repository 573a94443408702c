using System.Buffers.Binary;

namespace Overlay.Wire.Decoding;

/// <summary>
/// Walks any number of VLAN tags, where <see cref="EthernetFrame"/> admits two: IEEE 802.1Q, 802.1ad, and the 0x9100 that devices older
/// than 802.1ad put on service tags.
/// </summary>
internal static class LinkHeader
{
    private const ushort LegacyProviderVlan = 0x9100;

    /// <returns>False if the frame ends before the EtherType of its payload.</returns>
    public static bool TryRead(ReadOnlySpan<byte> frame, out ushort etherType, out int headerLength)
    {
        etherType = 0;
        for (headerLength = EthernetFrame.MinHeaderLength; headerLength <= frame.Length; headerLength += VlanTag.Length)
        {
            etherType = BinaryPrimitives.ReadUInt16BigEndian(frame[(headerLength - 2)..]);
            if (etherType is not (EtherTypes.Vlan or EtherTypes.ProviderVlan or LegacyProviderVlan)) return true;
        }
        return false;
    }
}
