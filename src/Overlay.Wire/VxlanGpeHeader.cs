using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>
/// A header of the Generic Protocol Extension for VXLAN (draft-ietf-nvo3-vxlan-gpe, 3). Views the caller's bytes and is valid as long as
/// they are.
/// </summary>
public readonly ref struct VxlanGpeHeader
{
    /// <summary>Bytes of the header.</summary>
    public const int Length = 8;

    /// <summary>The port that IANA assigned.</summary>
    public const ushort DefaultPort = 4790;

    private const byte NextProtocolFlag = 0x04;
    private const byte NextIpv4 = 1;
    private const byte NextIpv6 = 2;
    private const byte NextEthernet = 3;

    private readonly ReadOnlySpan<byte> _header;

    private VxlanGpeHeader(ReadOnlySpan<byte> header) => _header = header;

    public byte Flags => _header[0];

    /// <summary>Virtual network identifier, 24 bits.</summary>
    public uint Vni => BinaryPrimitives.ReadUInt32BigEndian(_header[4..]) >> 8;

    /// <summary>
    /// EtherType of the payload: by the next protocol if the P flag declares it valid, <see cref="EtherTypes.TransparentEthernet"/> as in
    /// VXLAN if not, and 0 for a next protocol that is neither IP nor Ethernet.
    /// </summary>
    public ushort ProtocolType => _header[3] switch
    {
        _ when (Flags & NextProtocolFlag) == 0 => EtherTypes.TransparentEthernet,
        NextIpv4 => EtherTypes.Ipv4,
        NextIpv6 => EtherTypes.Ipv6,
        NextEthernet => EtherTypes.TransparentEthernet,
        _ => 0,
    };

    /// <summary>The encapsulated frame or packet.</summary>
    public ReadOnlySpan<byte> Payload => _header[Length..];

    /// <param name="datagram">The UDP payload.</param>
    /// <param name="view">A view of all of it.</param>
    /// <returns><see cref="WireStatus.Truncated"/> below 8 bytes.</returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> datagram, out VxlanGpeHeader view)
    {
        view = default;
        if (datagram.Length < Length) return WireStatus.Truncated;
        view = new VxlanGpeHeader(datagram);
        return WireStatus.Ok;
    }
}
