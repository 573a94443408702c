using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>
/// A neighbour solicitation or advertisement (RFC 4861, 4.3 and 4.4). Views the caller's bytes and is valid as long as they are. Hop limit
/// 255 and the checksum have to be checked with the IPv6 header at hand.
/// </summary>
public readonly ref struct NeighborMessage
{
    /// <summary>Bytes of a message without options.</summary>
    public const int MinLength = 24;

    /// <summary>Bytes of a message with one link-layer address option: what this class writes.</summary>
    public const int LengthWithLinkLayerAddress = MinLength + LinkLayerOptionLength;

    private const int LinkLayerOptionLength = 8;
    private const byte SourceLinkLayerAddress = 1;
    private const byte TargetLinkLayerAddress = 2;

    private readonly ReadOnlySpan<byte> _message;
    private readonly int _linkLayerOption;

    private NeighborMessage(ReadOnlySpan<byte> message, int linkLayerOption)
    {
        _message = message;
        _linkLayerOption = linkLayerOption;
    }

    /// <summary>True for a solicitation, false for an advertisement.</summary>
    public bool IsSolicitation => _message[0] == Icmpv6Types.NeighborSolicitation;

    /// <summary>None in a solicitation, whose bits are reserved.</summary>
    public NeighborFlags Flags => IsSolicitation ? NeighborFlags.None : (NeighborFlags)(_message[4] & 0xe0);

    /// <summary>The address asked for or advertised.</summary>
    public UInt128 Target => BinaryPrimitives.ReadUInt128BigEndian(_message[8..]);

    /// <summary>True if there is a <see cref="LinkLayerAddress"/>.</summary>
    public bool HasLinkLayerAddress => _linkLayerOption != 0;

    /// <summary>
    /// From the first source link-layer address option of a solicitation, or target link-layer address option of an advertisement; all
    /// zero without one.
    /// </summary>
    public MacAddress LinkLayerAddress => HasLinkLayerAddress ? new MacAddress(_message[(_linkLayerOption + 2)..]) : default;

    /// <param name="message">Exactly the ICMPv6 message.</param>
    /// <param name="view">A view of all of it.</param>
    /// <returns>
    /// <see cref="WireStatus.Truncated"/> below 24 bytes or with an option that reaches beyond the end;
    /// <see cref="WireStatus.BadField"/> for another type, a code other than zero, a multicast target or an option of length zero
    /// (RFC 4861, 7.1).
    /// </returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> message, out NeighborMessage view)
    {
        view = default;
        if (message.Length < MinLength) return WireStatus.Truncated;
        if (message[0] is not (Icmpv6Types.NeighborSolicitation or Icmpv6Types.NeighborAdvertisement)) return WireStatus.BadField;
        if (message[1] != 0 || message[8] == 0xff) return WireStatus.BadField;
        byte wanted = message[0] == Icmpv6Types.NeighborSolicitation ? SourceLinkLayerAddress : TargetLinkLayerAddress;
        int linkLayerOption = 0;
        for (int offset = MinLength; offset < message.Length;)
        {
            if (message.Length - offset < 2) return WireStatus.Truncated;
            int length = message[offset + 1] * 8;
            if (length == 0) return WireStatus.BadField;
            if (length > message.Length - offset) return WireStatus.Truncated;
            if (message[offset] == wanted && length == LinkLayerOptionLength && linkLayerOption == 0) linkLayerOption = offset;
            offset += length;
        }
        view = new NeighborMessage(message, linkLayerOption);
        return WireStatus.Ok;
    }

    /// <summary>Writes a solicitation of 32 bytes, or of 24 without a link-layer address as in duplicate address detection.</summary>
    /// <param name="message">At least 32 or 24 bytes.</param>
    /// <param name="source">Source address of the IPv6 packet, host order.</param>
    /// <param name="destination">Destination address of the IPv6 packet, host order.</param>
    /// <param name="target">The address asked for, host order.</param>
    /// <param name="linkLayerAddress">The sender's; null when <paramref name="source"/> is unspecified.</param>
    /// <returns>Bytes written.</returns>
    public static int WriteSolicitation(
        Span<byte> message, UInt128 source, UInt128 destination, UInt128 target, MacAddress? linkLayerAddress)
    {
        message = message[..(linkLayerAddress is null ? MinLength : LengthWithLinkLayerAddress)];
        BinaryPrimitives.WriteUInt128BigEndian(message[8..], target);
        if (linkLayerAddress is { } address) WriteLinkLayerOption(message[MinLength..], SourceLinkLayerAddress, address);
        Icmpv6Header.Write(message, source, destination, Icmpv6Types.NeighborSolicitation, 0, 0);
        return message.Length;
    }

    /// <summary>Writes an advertisement of 32 bytes.</summary>
    /// <param name="message">At least 32 bytes.</param>
    /// <param name="source">Source address of the IPv6 packet, host order.</param>
    /// <param name="destination">Destination address of the IPv6 packet, host order.</param>
    /// <param name="target">The address advertised, host order.</param>
    /// <param name="flags">What the receiver may conclude.</param>
    /// <param name="linkLayerAddress">The target's.</param>
    /// <returns>Bytes written.</returns>
    public static int WriteAdvertisement(
        Span<byte> message, UInt128 source, UInt128 destination, UInt128 target, NeighborFlags flags, MacAddress linkLayerAddress)
    {
        message = message[..LengthWithLinkLayerAddress];
        BinaryPrimitives.WriteUInt128BigEndian(message[8..], target);
        WriteLinkLayerOption(message[MinLength..], TargetLinkLayerAddress, linkLayerAddress);
        Icmpv6Header.Write(message, source, destination, Icmpv6Types.NeighborAdvertisement, 0, (uint)flags << 24);
        return message.Length;
    }

    private static void WriteLinkLayerOption(Span<byte> option, byte type, MacAddress address)
    {
        option[0] = type;
        option[1] = LinkLayerOptionLength / 8;
        address.CopyTo(option[2..]);
    }
}
