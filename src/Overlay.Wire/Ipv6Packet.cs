using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>
/// An IPv6 packet with its extension header chain (RFC 8200). Views the caller's bytes and is valid as long as they are.
/// Jumbograms (RFC 2675) are not understood: a payload length of zero is an empty payload.
/// </summary>
public readonly ref struct Ipv6Packet
{
    /// <summary>Bytes of the fixed header.</summary>
    public const int HeaderLength = 40;

    private readonly ReadOnlySpan<byte> _packet;
    private readonly Ipv6HeaderChain _chain;

    private Ipv6Packet(ReadOnlySpan<byte> packet, Ipv6HeaderChain chain)
    {
        _packet = packet;
        _chain = chain;
    }

    /// <summary>DSCP (6 bits, RFC 2474) and ECN (2 bits, RFC 3168).</summary>
    public byte TrafficClass => (byte)(BinaryPrimitives.ReadUInt16BigEndian(_packet) >> 4);

    /// <summary>20 bits (RFC 6437).</summary>
    public uint FlowLabel => BinaryPrimitives.ReadUInt32BigEndian(_packet) & 0xfffff;

    /// <summary>Bytes after the fixed header, extension headers included.</summary>
    public int PayloadLength => _packet.Length - HeaderLength;

    /// <summary>Protocol of the first header after the fixed one.</summary>
    public byte NextHeader => _packet[6];

    public byte HopLimit => _packet[7];

    public UInt128 Source => BinaryPrimitives.ReadUInt128BigEndian(_packet[8..]);

    public UInt128 Destination => BinaryPrimitives.ReadUInt128BigEndian(_packet[24..]);

    /// <summary>Source and destination as they lie in the header: 32 bytes, for <see cref="InternetChecksum"/>.</summary>
    public ReadOnlySpan<byte> Addresses => _packet.Slice(8, 32);

    /// <summary>What follows the fixed header, extension headers included, up to <see cref="PayloadLength"/>.</summary>
    public ReadOnlySpan<byte> Payload => _packet[HeaderLength..];

    /// <summary>
    /// Protocol behind the extension headers. In a fragment that is not the first one, the protocol of the header that the fragment
    /// header announces, which is found in the first fragment.
    /// </summary>
    public byte UpperProtocol => _chain.UpperProtocol;

    /// <summary>Where the upper-layer header begins, or the fragment's data, in bytes from the start of the packet.</summary>
    public int UpperOffset => _chain.UpperOffset;

    /// <summary>What lies behind the extension headers.</summary>
    public ReadOnlySpan<byte> UpperPayload => _packet[_chain.UpperOffset..];

    /// <summary>True with a fragment header, in atomic fragments (RFC 6946) too.</summary>
    public bool HasFragmentHeader => _chain.FragmentHeaderOffset != 0;

    /// <summary>True for every fragment, the first included, but not for an atomic one, which is a whole packet.</summary>
    public bool IsFragment => FragmentOffset != 0 || MoreFragments;

    /// <summary>Where the fragment's data belongs in the fragmentable part of the original packet, in bytes.</summary>
    public int FragmentOffset => HasFragmentHeader ? FragmentWord & 0xfff8 : 0;

    public bool MoreFragments => HasFragmentHeader && (FragmentWord & 1) != 0;

    /// <summary>Identification in the fragment header, 0 without one.</summary>
    public uint FragmentIdentification =>
        HasFragmentHeader ? BinaryPrimitives.ReadUInt32BigEndian(_packet[(_chain.FragmentHeaderOffset + 4)..]) : 0;

    private int FragmentWord => BinaryPrimitives.ReadUInt16BigEndian(_packet[(_chain.FragmentHeaderOffset + 2)..]);

    /// <param name="packet">Begins with the IPv6 header; may be longer than the packet.</param>
    /// <param name="view">Bounded by the packet's payload length.</param>
    /// <returns>
    /// <see cref="WireStatus.Truncated"/> if header, packet or chain are incomplete, which includes a first fragment without the whole
    /// chain (RFC 7112); <see cref="WireStatus.BadVersion"/> if it is not 6; <see cref="WireStatus.BadField"/> if the chain breaks a
    /// rule that <see cref="Ipv6HeaderChain"/> lists.
    /// </returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> packet, out Ipv6Packet view)
    {
        view = default;
        if (packet.Length < HeaderLength) return WireStatus.Truncated;
        if (packet[0] >> 4 != 6) return WireStatus.BadVersion;
        int length = HeaderLength + BinaryPrimitives.ReadUInt16BigEndian(packet[4..]);
        if (length > packet.Length) return WireStatus.Truncated;
        packet = packet[..length];
        WireStatus status = Ipv6HeaderChain.TryWalk(packet, out Ipv6HeaderChain chain);
        if (status != WireStatus.Ok) return status;
        view = new Ipv6Packet(packet, chain);
        return WireStatus.Ok;
    }

    /// <summary>Writes the 40 bytes of the fixed header.</summary>
    public static void WriteHeader(Span<byte> packet, in Ipv6Fields fields)
    {
        BinaryPrimitives.WriteUInt32BigEndian(packet, 6u << 28 | (uint)fields.TrafficClass << 20 | (fields.FlowLabel & 0xfffff));
        BinaryPrimitives.WriteUInt16BigEndian(packet[4..], (ushort)fields.PayloadLength);
        packet[6] = fields.NextHeader;
        packet[7] = fields.HopLimit;
        BinaryPrimitives.WriteUInt128BigEndian(packet[8..], fields.Source);
        BinaryPrimitives.WriteUInt128BigEndian(packet[24..], fields.Destination);
    }

    /// <summary>Gives a header another payload length.</summary>
    /// <param name="header">At least the fixed header.</param>
    /// <param name="payloadLength">Bytes after the fixed header, extension headers included, at most 65,535.</param>
    public static void Resize(Span<byte> header, int payloadLength) => BinaryPrimitives.WriteUInt16BigEndian(header[4..], (ushort)payloadLength);
}
