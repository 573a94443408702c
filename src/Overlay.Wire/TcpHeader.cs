using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>A TCP header and its payload (RFC 9293, 3.1). Views the caller's bytes and is valid as long as they are.</summary>
public readonly ref struct TcpHeader
{
    /// <summary>Bytes of a header without options.</summary>
    public const int MinLength = 20;

    /// <summary>Bytes of a header with 40 bytes of options.</summary>
    public const int MaxLength = 60;

    /// <summary>Where the flags lie in the header.</summary>
    public const int FlagsOffset = 13;

    /// <summary>Where the checksum lies in the header.</summary>
    public const int ChecksumOffset = 16;

    private readonly ReadOnlySpan<byte> _segment;

    private TcpHeader(ReadOnlySpan<byte> segment) => _segment = segment;

    public ushort SourcePort => BinaryPrimitives.ReadUInt16BigEndian(_segment);

    public ushort DestinationPort => BinaryPrimitives.ReadUInt16BigEndian(_segment[2..]);

    public uint SequenceNumber => BinaryPrimitives.ReadUInt32BigEndian(_segment[4..]);

    public uint AcknowledgmentNumber => BinaryPrimitives.ReadUInt32BigEndian(_segment[8..]);

    /// <summary>Bytes before the payload, options included.</summary>
    public int HeaderLength => (_segment[12] >> 4) * 4;

    public TcpFlags Flags => (TcpFlags)_segment[FlagsOffset];

    /// <summary>As sent, not scaled.</summary>
    public ushort Window => BinaryPrimitives.ReadUInt16BigEndian(_segment[14..]);

    /// <summary>The checksum as a host-order number. To compute with it, see <see cref="InternetChecksum"/>.</summary>
    public ushort Checksum => BinaryPrimitives.ReadUInt16BigEndian(_segment[ChecksumOffset..]);

    public ushort UrgentPointer => BinaryPrimitives.ReadUInt16BigEndian(_segment[18..]);

    /// <summary>Options with their padding; <see cref="TcpOptionReader"/> takes them apart.</summary>
    public ReadOnlySpan<byte> Options => _segment[MinLength..HeaderLength];

    public ReadOnlySpan<byte> Payload => _segment[HeaderLength..];

    /// <param name="segment">Exactly header and payload: TCP has no length of its own, the IP packet's ends it.</param>
    /// <param name="view">A view of all of it.</param>
    /// <returns>
    /// <see cref="WireStatus.Truncated"/> if the header is incomplete, <see cref="WireStatus.BadHeaderLength"/> below 20 bytes.
    /// </returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> segment, out TcpHeader view)
    {
        view = default;
        if (segment.Length < MinLength) return WireStatus.Truncated;
        int headerLength = (segment[12] >> 4) * 4;
        if (headerLength < MinLength) return WireStatus.BadHeaderLength;
        if (headerLength > segment.Length) return WireStatus.Truncated;
        view = new TcpHeader(segment);
        return WireStatus.Ok;
    }

    /// <summary>Writes a header.</summary>
    /// <param name="segment">At least 20 bytes and the options.</param>
    /// <param name="fields">What to write. Reserved bits are written as zero.</param>
    /// <param name="options">At most 40 bytes, padded to a multiple of 4.</param>
    /// <param name="checksum">Native order; 0 if it is stored later.</param>
    /// <returns>Bytes written.</returns>
    public static int Write(Span<byte> segment, in TcpFields fields, ReadOnlySpan<byte> options = default, ushort checksum = 0)
    {
        Span<byte> header = segment[..(MinLength + options.Length)];
        BinaryPrimitives.WriteUInt16BigEndian(header, fields.SourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(header[2..], fields.DestinationPort);
        BinaryPrimitives.WriteUInt32BigEndian(header[4..], fields.SequenceNumber);
        BinaryPrimitives.WriteUInt32BigEndian(header[8..], fields.AcknowledgmentNumber);
        header[12] = (byte)(header.Length / 4 << 4);
        header[FlagsOffset] = (byte)fields.Flags;
        BinaryPrimitives.WriteUInt16BigEndian(header[14..], fields.Window);
        InternetChecksum.Store(header[ChecksumOffset..], checksum);
        BinaryPrimitives.WriteUInt16BigEndian(header[18..], fields.UrgentPointer);
        options.CopyTo(header[MinLength..]);
        return header.Length;
    }

    /// <summary>Gives a header another place in the stream; the checksum is left to the caller.</summary>
    /// <param name="segment">Begins with the TCP header.</param>
    /// <param name="sequenceNumber">Host order.</param>
    /// <param name="flags">All eight.</param>
    public static void Restart(Span<byte> segment, uint sequenceNumber, TcpFlags flags)
    {
        BinaryPrimitives.WriteUInt32BigEndian(segment[4..], sequenceNumber);
        segment[FlagsOffset] = (byte)flags;
    }
}
