namespace Overlay.Wire;

/// <summary>ICMP message types and codes (RFC 792, RFC 1191).</summary>
public static class Icmpv4Types
{
    public const byte EchoReply = 0;
    public const byte DestinationUnreachable = 3;
    public const byte EchoRequest = 8;
    public const byte TimeExceeded = 11;
    public const byte ParameterProblem = 12;
    public const byte TimestampRequest = 13;
    public const byte TimestampReply = 14;

    /// <summary>Code of <see cref="DestinationUnreachable"/>: too big for the next hop, and DF is set.</summary>
    public const byte FragmentationNeeded = 4;
}
