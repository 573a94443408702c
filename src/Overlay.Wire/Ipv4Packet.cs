using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>
/// An IPv4 packet (RFC 791). Views the caller's bytes and is valid as long as they are. Parsing checks lengths, not the header checksum:
/// ask <see cref="IsHeaderChecksumValid"/>.
/// </summary>
public readonly ref struct Ipv4Packet
{
    /// <summary>Bytes of a header without options.</summary>
    public const int MinHeaderLength = 20;

    /// <summary>Bytes of a header with 40 bytes of options.</summary>
    public const int MaxHeaderLength = 60;

    private const int ChecksumOffset = 10;
    private const int DontFragmentBit = 0x4000;
    private const int MoreFragmentsBit = 0x2000;
    private const int FragmentOffsetMask = 0x1fff;

    private readonly ReadOnlySpan<byte> _packet;

    private Ipv4Packet(ReadOnlySpan<byte> packet) => _packet = packet;

    /// <summary>Bytes before the payload, options included.</summary>
    public int HeaderLength => (_packet[0] & 0x0f) * 4;

    /// <summary>Bytes of the packet, header included; what follows in the frame is padding.</summary>
    public int TotalLength => _packet.Length;

    /// <summary>DSCP (6 bits, RFC 2474) and ECN (2 bits, RFC 3168).</summary>
    public byte TrafficClass => _packet[1];

    public ushort Identification => BinaryPrimitives.ReadUInt16BigEndian(_packet[4..]);

    public bool DontFragment => (FlagsAndOffset & DontFragmentBit) != 0;

    public bool MoreFragments => (FlagsAndOffset & MoreFragmentsBit) != 0;

    /// <summary>Where the payload belongs in the original packet's payload, in bytes.</summary>
    public int FragmentOffset => (FlagsAndOffset & FragmentOffsetMask) * 8;

    /// <summary>True for every fragment, the first included: the payload is not the whole transport message.</summary>
    public bool IsFragment => (FlagsAndOffset & (MoreFragmentsBit | FragmentOffsetMask)) != 0;

    public byte TimeToLive => _packet[8];

    /// <summary>See <see cref="IpProtocols"/>.</summary>
    public byte Protocol => _packet[9];

    /// <summary>The checksum as a host-order number. To compute with it, see <see cref="InternetChecksum"/>.</summary>
    public ushort HeaderChecksum => BinaryPrimitives.ReadUInt16BigEndian(_packet[ChecksumOffset..]);

    public bool IsHeaderChecksumValid => InternetChecksum.IsValid(InternetChecksum.Add(_packet[..HeaderLength]));

    public uint Source => BinaryPrimitives.ReadUInt32BigEndian(_packet[12..]);

    public uint Destination => BinaryPrimitives.ReadUInt32BigEndian(_packet[16..]);

    /// <summary>Source and destination as they lie in the header: eight bytes, for <see cref="InternetChecksum"/>.</summary>
    public ReadOnlySpan<byte> Addresses => _packet.Slice(12, 8);

    public ReadOnlySpan<byte> Options => _packet[MinHeaderLength..HeaderLength];

    /// <summary>What follows the header up to <see cref="TotalLength"/>.</summary>
    public ReadOnlySpan<byte> Payload => _packet[HeaderLength..];

    private int FlagsAndOffset => BinaryPrimitives.ReadUInt16BigEndian(_packet[6..]);

    /// <param name="packet">Begins with the IPv4 header; may be longer than the packet.</param>
    /// <param name="view">Bounded by the packet's total length.</param>
    /// <returns>
    /// <see cref="WireStatus.Truncated"/> if header or packet are incomplete, <see cref="WireStatus.BadVersion"/> if it is not 4,
    /// <see cref="WireStatus.BadHeaderLength"/> below 20 bytes, <see cref="WireStatus.BadLength"/> if the total is below the header's.
    /// </returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> packet, out Ipv4Packet view)
    {
        view = default;
        if (packet.Length < MinHeaderLength) return WireStatus.Truncated;
        if (packet[0] >> 4 != 4) return WireStatus.BadVersion;
        int headerLength = (packet[0] & 0x0f) * 4;
        if (headerLength < MinHeaderLength) return WireStatus.BadHeaderLength;
        int totalLength = BinaryPrimitives.ReadUInt16BigEndian(packet[2..]);
        if (totalLength < headerLength) return WireStatus.BadLength;
        if (totalLength > packet.Length) return WireStatus.Truncated;
        view = new Ipv4Packet(packet[..totalLength]);
        return WireStatus.Ok;
    }

    /// <summary>A view of a header whose packet lies elsewhere; only the fields of the header may be read.</summary>
    /// <returns>As <see cref="TryParse"/> does, but the total length is not looked at.</returns>
    public static WireStatus TryParseHeader(ReadOnlySpan<byte> header, out Ipv4Packet view)
    {
        view = default;
        if (header.Length < MinHeaderLength) return WireStatus.Truncated;
        if (header[0] >> 4 != 4) return WireStatus.BadVersion;
        int headerLength = (header[0] & 0x0f) * 4;
        if (headerLength < MinHeaderLength) return WireStatus.BadHeaderLength;
        if (headerLength > header.Length) return WireStatus.Truncated;
        view = new Ipv4Packet(header[..headerLength]);
        return WireStatus.Ok;
    }

    /// <summary>Writes a header with its checksum.</summary>
    /// <param name="packet">At least 20 bytes and the options.</param>
    /// <param name="fields">What to write. The reserved flag is written as zero.</param>
    /// <param name="options">At most 40 bytes, a multiple of 4.</param>
    /// <returns>Bytes written.</returns>
    public static int WriteHeader(Span<byte> packet, in Ipv4Fields fields, ReadOnlySpan<byte> options = default)
    {
        Span<byte> header = packet[..(MinHeaderLength + options.Length)];
        header[0] = (byte)(0x40 | (header.Length / 4));
        header[1] = fields.TrafficClass;
        BinaryPrimitives.WriteUInt16BigEndian(header[2..], (ushort)fields.TotalLength);
        BinaryPrimitives.WriteUInt16BigEndian(header[4..], fields.Identification);
        int flags = (fields.DontFragment ? DontFragmentBit : 0) | (fields.MoreFragments ? MoreFragmentsBit : 0);
        BinaryPrimitives.WriteUInt16BigEndian(header[6..], (ushort)(flags | (fields.FragmentOffset / 8)));
        header[8] = fields.TimeToLive;
        header[9] = fields.Protocol;
        InternetChecksum.Store(header[ChecksumOffset..], 0);
        BinaryPrimitives.WriteUInt32BigEndian(header[12..], fields.Source);
        BinaryPrimitives.WriteUInt32BigEndian(header[16..], fields.Destination);
        options.CopyTo(header[MinHeaderLength..]);
        InternetChecksum.Store(header[ChecksumOffset..], InternetChecksum.Finish(InternetChecksum.Add(header)));
        return header.Length;
    }

    /// <summary>Gives a header another total length and identification, and the checksum that follows from them.</summary>
    /// <param name="header">The header with its options, exactly.</param>
    /// <param name="totalLength">Bytes of the packet, header included, at most 65,535.</param>
    /// <param name="identification">Host order.</param>
    public static void Resize(Span<byte> header, int totalLength, ushort identification)
    {
        BinaryPrimitives.WriteUInt16BigEndian(header[2..], (ushort)totalLength);
        BinaryPrimitives.WriteUInt16BigEndian(header[4..], identification);
        InternetChecksum.Store(header[ChecksumOffset..], 0);
        InternetChecksum.Store(header[ChecksumOffset..], InternetChecksum.Finish(InternetChecksum.Add(header)));
    }

    /// <summary>Makes a header that of a fragment, and updates its checksum. DF is cleared.</summary>
    /// <param name="header">The header with its options, exactly.</param>
    /// <param name="totalLength">Bytes of the fragment, header included.</param>
    /// <param name="offset">Where its payload belongs, in bytes; a multiple of 8.</param>
    /// <param name="more">Another fragment follows.</param>
    public static void WriteFragment(Span<byte> header, int totalLength, int offset, bool more)
    {
        BinaryPrimitives.WriteUInt16BigEndian(header[6..], (ushort)((more ? MoreFragmentsBit : 0) | (offset / 8)));
        Resize(header, totalLength, BinaryPrimitives.ReadUInt16BigEndian(header[4..]));
    }
}
