using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>What a <see cref="PathMessage"/> is.</summary>
public enum PathMessageKind : byte
{
    /// <summary>Sent at the size that is in question; wants an answer.</summary>
    Probe = 1,

    /// <summary>Says that a probe arrived whole.</summary>
    Answer = 2,
}

/// <summary>
/// What two nodes exchange to learn how large a packet the path between them carries (RFC 8899): behind an Ethernet header of
/// <see cref="EtherTypes.LocalExperimental"/>, or in IP-in-IP behind an IP header of <see cref="IpProtocols.Experimental"/>. What follows is
/// padding. Views the caller's bytes and is valid as long as they are.
/// </summary>
public readonly ref struct PathMessage
{
    /// <summary>Bytes before the padding.</summary>
    public const int Length = 16;

    private const uint Magic = 0x4f56_504d;
    private const byte Version = 1;

    private readonly ReadOnlySpan<byte> _message;

    private PathMessage(ReadOnlySpan<byte> message) => _message = message;

    public PathMessageKind Kind => (PathMessageKind)_message[5];

    /// <summary>Bytes of the probe from its tunnel header on, or of IP-in-IP from its inner IP header on; at most 65,535.</summary>
    public int Size => BinaryPrimitives.ReadUInt16BigEndian(_message[6..]);

    /// <summary>Chosen at random by the prober; an answer repeats it.</summary>
    public ulong Token => BinaryPrimitives.ReadUInt64BigEndian(_message[8..]);

    /// <returns>
    /// <see cref="WireStatus.Truncated"/> below 16 bytes; <see cref="WireStatus.BadVersion"/> for anything that is no such message, or none
    /// of a known version and kind.
    /// </returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> message, out PathMessage view)
    {
        view = default;
        if (message.Length < Length) return WireStatus.Truncated;
        if (BinaryPrimitives.ReadUInt32BigEndian(message) != Magic || message[4] != Version || (PathMessageKind)message[5] is not (PathMessageKind.Probe or PathMessageKind.Answer))
            return WireStatus.BadVersion;
        view = new PathMessage(message);
        return WireStatus.Ok;
    }

    /// <summary>Writes the 16 bytes.</summary>
    public static void Write(Span<byte> message, PathMessageKind kind, int size, ulong token)
    {
        BinaryPrimitives.WriteUInt32BigEndian(message, Magic);
        message[4] = Version;
        message[5] = (byte)kind;
        BinaryPrimitives.WriteUInt16BigEndian(message[6..], (ushort)size);
        BinaryPrimitives.WriteUInt64BigEndian(message[8..], token);
    }
}
