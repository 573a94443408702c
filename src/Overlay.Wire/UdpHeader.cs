using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>A UDP header and its payload (RFC 768). Views the caller's bytes and is valid as long as they are.</summary>
public readonly ref struct UdpHeader
{
    /// <summary>Bytes of the header.</summary>
    public const int HeaderLength = 8;

    /// <summary>Where the checksum lies in the header.</summary>
    public const int ChecksumOffset = 6;

    private readonly ReadOnlySpan<byte> _datagram;

    private UdpHeader(ReadOnlySpan<byte> datagram) => _datagram = datagram;

    public ushort SourcePort => BinaryPrimitives.ReadUInt16BigEndian(_datagram);

    public ushort DestinationPort => BinaryPrimitives.ReadUInt16BigEndian(_datagram[2..]);

    /// <summary>Bytes of header and payload.</summary>
    public int Length => _datagram.Length;

    /// <summary>The checksum as a host-order number; 0 means none. To compute with it, see <see cref="InternetChecksum"/>.</summary>
    public ushort Checksum => BinaryPrimitives.ReadUInt16BigEndian(_datagram[ChecksumOffset..]);

    /// <summary>What follows the header up to <see cref="Length"/>.</summary>
    public ReadOnlySpan<byte> Payload => _datagram[HeaderLength..];

    /// <param name="datagram">Begins with the UDP header; may be longer than the datagram. Not a fragment.</param>
    /// <param name="view">Bounded by the datagram's length.</param>
    /// <returns>
    /// <see cref="WireStatus.Truncated"/> if header or datagram are incomplete, <see cref="WireStatus.BadLength"/> if the length is below
    /// the header's.
    /// </returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> datagram, out UdpHeader view)
    {
        view = default;
        if (datagram.Length < HeaderLength) return WireStatus.Truncated;
        int length = BinaryPrimitives.ReadUInt16BigEndian(datagram[4..]);
        if (length < HeaderLength) return WireStatus.BadLength;
        if (length > datagram.Length) return WireStatus.Truncated;
        view = new UdpHeader(datagram[..length]);
        return WireStatus.Ok;
    }

    /// <summary>Writes the 8 bytes of the header.</summary>
    /// <param name="datagram">At least 8 bytes.</param>
    /// <param name="sourcePort">Host order.</param>
    /// <param name="destinationPort">Host order.</param>
    /// <param name="length">Bytes of header and payload, at most 65,535.</param>
    /// <param name="checksum">Native order, from <see cref="InternetChecksum.FinishUdp"/>, or 0 for none.</param>
    public static void Write(Span<byte> datagram, ushort sourcePort, ushort destinationPort, int length, ushort checksum = 0)
    {
        BinaryPrimitives.WriteUInt16BigEndian(datagram, sourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(datagram[2..], destinationPort);
        BinaryPrimitives.WriteUInt16BigEndian(datagram[4..], (ushort)length);
        InternetChecksum.Store(datagram[ChecksumOffset..], checksum);
    }

    /// <summary>Gives a header another length; the checksum is left to the caller.</summary>
    /// <param name="datagram">Begins with the UDP header.</param>
    /// <param name="length">Bytes of header and payload, at most 65,535.</param>
    public static void Resize(Span<byte> datagram, int length) => BinaryPrimitives.WriteUInt16BigEndian(datagram[4..], (ushort)length);
}
