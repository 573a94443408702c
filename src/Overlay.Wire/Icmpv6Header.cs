using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>An ICMPv6 message (RFC 4443). Views the caller's bytes and is valid as long as they are.</summary>
public readonly ref struct Icmpv6Header
{
    /// <summary>Bytes before the payload, as every type that the overlay reads has them.</summary>
    public const int Length = 8;

    /// <summary>Where the checksum lies in the message.</summary>
    public const int ChecksumOffset = 2;

    private readonly ReadOnlySpan<byte> _message;

    private Icmpv6Header(ReadOnlySpan<byte> message) => _message = message;

    /// <summary>See <see cref="Icmpv6Types"/>.</summary>
    public byte Type => _message[0];

    public byte Code => _message[1];

    /// <summary>Types below 128 are errors: never answered with an error (RFC 4443, 2.4 e).</summary>
    public bool IsError => Type < 128;

    /// <summary>The checksum as a host-order number.</summary>
    public ushort Checksum => BinaryPrimitives.ReadUInt16BigEndian(_message[ChecksumOffset..]);

    /// <summary>Bytes 4 to 7, which mean something else in each type: MTU, pointer, identifier and number, neighbour flags.</summary>
    public uint RestOfHeader => BinaryPrimitives.ReadUInt32BigEndian(_message[4..]);

    /// <summary>Of an echo message.</summary>
    public ushort Identifier => BinaryPrimitives.ReadUInt16BigEndian(_message[4..]);

    /// <summary>Of an echo message.</summary>
    public ushort SequenceNumber => BinaryPrimitives.ReadUInt16BigEndian(_message[6..]);

    /// <summary>Echo data, or the packet that an error message quotes, or what <see cref="NeighborMessage"/> reads.</summary>
    public ReadOnlySpan<byte> Payload => _message[Length..];

    /// <summary>True if the checksum proves the message and its addresses intact.</summary>
    /// <param name="addresses">See <see cref="Ipv6Packet.Addresses"/>.</param>
    public bool IsChecksumValid(ReadOnlySpan<byte> addresses) => InternetChecksum.IsValid(
        InternetChecksum.Add(_message, InternetChecksum.PseudoHeaderV6(addresses, IpProtocols.Icmpv6, _message.Length)));

    /// <param name="message">Exactly the message: ICMPv6 has no length of its own, the IPv6 packet's ends it.</param>
    /// <param name="view">A view of all of it.</param>
    /// <returns><see cref="WireStatus.Truncated"/> below 8 bytes.</returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> message, out Icmpv6Header view)
    {
        view = default;
        if (message.Length < Length) return WireStatus.Truncated;
        view = new Icmpv6Header(message);
        return WireStatus.Ok;
    }

    /// <summary>Writes the 8 bytes of the header, the checksum over pseudo-header and all of <paramref name="message"/> included.</summary>
    /// <param name="message">Exactly the message, its payload in place.</param>
    /// <param name="source">Source address of the IPv6 packet, host order.</param>
    /// <param name="destination">Destination address of the IPv6 packet, host order.</param>
    /// <param name="type">See <see cref="Icmpv6Types"/>.</param>
    /// <param name="code">Depends on the type.</param>
    /// <param name="restOfHeader">Bytes 4 to 7 in host order.</param>
    public static void Write(Span<byte> message, UInt128 source, UInt128 destination, byte type, byte code, uint restOfHeader)
    {
        message[0] = type;
        message[1] = code;
        InternetChecksum.Store(message[ChecksumOffset..], 0);
        BinaryPrimitives.WriteUInt32BigEndian(message[4..], restOfHeader);
        ulong sum = InternetChecksum.PseudoHeaderV6(source, destination, IpProtocols.Icmpv6, message.Length);
        InternetChecksum.Store(message[ChecksumOffset..], InternetChecksum.Finish(InternetChecksum.Add(message, sum)));
    }
}
