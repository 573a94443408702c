using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>
/// A Geneve header with its options (RFC 8926, 3.4 and 3.5). Views the caller's bytes and is valid as long as they are. Reserved bits are
/// sent as zero and ignored when received.
/// </summary>
/// <remarks>
/// A receiver must not forward the payload of a <see cref="IsControl"/> datagram, and must drop a datagram with a critical option that it
/// does not know; whether <see cref="HasCriticalOptions"/> agrees with the options is no ground to drop.
/// </remarks>
public readonly ref struct GeneveHeader
{
    /// <summary>Bytes before the options.</summary>
    public const int FixedLength = 8;

    /// <summary>Most bytes of options: the length field counts up to 63 units of four.</summary>
    public const int MaxOptionsLength = 63 * 4;

    /// <summary>The port that IANA assigned.</summary>
    public const ushort DefaultPort = 6081;

    /// <summary>Largest virtual network identifier: 24 bits.</summary>
    public const uint MaxVni = 0xffffff;

    private const byte ControlFlag = 0x80;
    private const byte CriticalFlag = 0x40;
    private const int LengthMask = 0x3f;

    private readonly ReadOnlySpan<byte> _datagram;

    private GeneveHeader(ReadOnlySpan<byte> datagram) => _datagram = datagram;

    /// <summary>Bytes before the payload: 8 and the options.</summary>
    public int HeaderLength => FixedLength + OptionsLength(_datagram[0]);

    /// <summary>The O bit: a control packet between tunnel endpoints, not for the tenant.</summary>
    public bool IsControl => (_datagram[1] & ControlFlag) != 0;

    /// <summary>The C bit: an endpoint that parses no options must drop the datagram.</summary>
    public bool HasCriticalOptions => (_datagram[1] & CriticalFlag) != 0;

    /// <summary>EtherType of the payload: <see cref="EtherTypes.TransparentEthernet"/> for a frame, or that of a bare IP packet.</summary>
    public ushort ProtocolType => BinaryPrimitives.ReadUInt16BigEndian(_datagram[2..]);

    /// <summary>Virtual network identifier, 24 bits.</summary>
    public uint Vni => BinaryPrimitives.ReadUInt32BigEndian(_datagram[4..]) >> 8;

    /// <summary>The options in order; their lengths were checked.</summary>
    public GeneveOptions Options => new(_datagram[FixedLength..HeaderLength]);

    /// <summary>What follows the options.</summary>
    public ReadOnlySpan<byte> Payload => _datagram[HeaderLength..];

    /// <param name="datagram">The UDP payload.</param>
    /// <param name="view">A view of all of it.</param>
    /// <returns>
    /// <see cref="WireStatus.Truncated"/> if the fixed header or the options are incomplete, <see cref="WireStatus.BadVersion"/> if the
    /// version is not 0, <see cref="WireStatus.BadLength"/> if the options' lengths do not add up to exactly the header's option length.
    /// </returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> datagram, out GeneveHeader view)
    {
        view = default;
        WireStatus status = TryParseFixed(datagram, out GeneveHeader header);
        if (status != WireStatus.Ok) return status;
        if (header.HeaderLength > datagram.Length) return WireStatus.Truncated;
        for (ReadOnlySpan<byte> rest = datagram[FixedLength..header.HeaderLength]; !rest.IsEmpty;)
        {
            if (GeneveOption.TryParse(rest, out GeneveOption option) != WireStatus.Ok) return WireStatus.BadLength;
            rest = rest[option.Length..];
        }
        view = header;
        return WireStatus.Ok;
    }

    /// <summary>
    /// Checks only the fixed header, for a decoder that shows headers with unsound options too: <see cref="Options"/> and
    /// <see cref="Payload"/> of this view may not be read.
    /// </summary>
    internal static WireStatus TryParseFixed(ReadOnlySpan<byte> datagram, out GeneveHeader view)
    {
        view = default;
        if (datagram.Length < FixedLength) return WireStatus.Truncated;
        if (datagram[0] >> 6 != 0) return WireStatus.BadVersion;
        view = new GeneveHeader(datagram);
        return WireStatus.Ok;
    }

    /// <summary>Bytes of options that a header promises.</summary>
    /// <param name="firstOctet">The first octet of the header: version and option length.</param>
    internal static int OptionsLength(byte firstOctet) => (firstOctet & LengthMask) * 4;

    /// <summary>Writes the header with its options, and the C bit if one of them is critical (RFC 8926, 3.5).</summary>
    /// <param name="datagram">At least 8 bytes and the options.</param>
    /// <param name="vni">24 bits.</param>
    /// <param name="protocolType">EtherType of the payload.</param>
    /// <param name="options">Written by <see cref="GeneveOption.Write"/>, one after another; at most <see cref="MaxOptionsLength"/>.</param>
    /// <param name="isControl">The O bit.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="ArgumentException">The options are malformed or too long: a bug of the caller.</exception>
    public static int Write(
        Span<byte> datagram, uint vni, ushort protocolType, ReadOnlySpan<byte> options = default, bool isControl = false)
    {
        if (options.Length > MaxOptionsLength) throw new ArgumentException($"{options.Length} bytes of options", nameof(options));
        bool hasCritical = false;
        for (ReadOnlySpan<byte> rest = options; !rest.IsEmpty;)
        {
            if (GeneveOption.TryParse(rest, out GeneveOption option) != WireStatus.Ok)
                throw new ArgumentException("option lengths do not add up", nameof(options));
            hasCritical |= option.IsCritical;
            rest = rest[option.Length..];
        }
        datagram[0] = (byte)(options.Length / 4);
        datagram[1] = (byte)((isControl ? ControlFlag : 0) | (hasCritical ? CriticalFlag : 0));
        BinaryPrimitives.WriteUInt16BigEndian(datagram[2..], protocolType);
        BinaryPrimitives.WriteUInt32BigEndian(datagram[4..], vni << 8);
        options.CopyTo(datagram[FixedLength..]);
        return FixedLength + options.Length;
    }
}
