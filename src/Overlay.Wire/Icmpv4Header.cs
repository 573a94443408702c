using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>An ICMP message for IPv4 (RFC 792). Views the caller's bytes and is valid as long as they are.</summary>
public readonly ref struct Icmpv4Header
{
    /// <summary>Bytes before the payload.</summary>
    public const int Length = 8;

    private const int ChecksumOffset = 2;

    private readonly ReadOnlySpan<byte> _message;

    private Icmpv4Header(ReadOnlySpan<byte> message) => _message = message;

    /// <summary>See <see cref="Icmpv4Types"/>.</summary>
    public byte Type => _message[0];

    public byte Code => _message[1];

    /// <summary>The checksum as a host-order number.</summary>
    public ushort Checksum => BinaryPrimitives.ReadUInt16BigEndian(_message[ChecksumOffset..]);

    /// <summary>True if the checksum proves the whole message intact.</summary>
    public bool IsChecksumValid => InternetChecksum.IsValid(InternetChecksum.Add(_message));

    /// <summary>Bytes 4 to 7, which mean something else in each type: MTU in the lower half, pointer, identifier and number.</summary>
    public uint RestOfHeader => BinaryPrimitives.ReadUInt32BigEndian(_message[4..]);

    /// <summary>Of an echo message.</summary>
    public ushort Identifier => BinaryPrimitives.ReadUInt16BigEndian(_message[4..]);

    /// <summary>Of an echo message.</summary>
    public ushort SequenceNumber => BinaryPrimitives.ReadUInt16BigEndian(_message[6..]);

    /// <summary>Echo data, or the packet that an error message quotes.</summary>
    public ReadOnlySpan<byte> Payload => _message[Length..];

    /// <param name="message">Exactly the message: ICMP has no length of its own, the IP packet's ends it.</param>
    /// <param name="view">A view of all of it.</param>
    /// <returns><see cref="WireStatus.Truncated"/> below 8 bytes.</returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> message, out Icmpv4Header view)
    {
        view = default;
        if (message.Length < Length) return WireStatus.Truncated;
        view = new Icmpv4Header(message);
        return WireStatus.Ok;
    }

    /// <summary>Writes the 8 bytes of the header, the checksum over all of <paramref name="message"/> included.</summary>
    /// <param name="message">Exactly the message, its payload in place.</param>
    /// <param name="type">See <see cref="Icmpv4Types"/>.</param>
    /// <param name="code">Depends on the type.</param>
    /// <param name="restOfHeader">Bytes 4 to 7 in host order.</param>
    public static void Write(Span<byte> message, byte type, byte code, uint restOfHeader)
    {
        message[0] = type;
        message[1] = code;
        InternetChecksum.Store(message[ChecksumOffset..], 0);
        BinaryPrimitives.WriteUInt32BigEndian(message[4..], restOfHeader);
        InternetChecksum.Store(message[ChecksumOffset..], InternetChecksum.Finish(InternetChecksum.Add(message)));
    }
}
