namespace Overlay.SystemTests.Traffic;

/// <summary>Inner packets of an unused protocol (RFC 3692) that nobody merges, each with a number of its own.</summary>
internal static class NumberedPacket
{
    public const string Target4 = "10.244.1.99";
    public const string Target6 = "fd00:244:1::99";
    public const string Source4 = "10.244.2.2";
    public const string Source6 = "fd00:244:2::2";
    public const byte Protocol = 253;

    private const int Dscp = 0x28;

    public static byte[] Ipv4(int number, int ecn = 0, string source = Source4, byte timeToLive = 64) =>
        PlainBytes.Ipv4(source, Target4, Protocol, Payload(number), Dscp | ecn, timeToLive: timeToLive);

    public static byte[] Ipv6(int number, int ecn = 0, string source = Source6, byte hopLimit = 64) =>
        PlainBytes.Ipv6(source, Target6, Protocol, Payload(number), Dscp | ecn, hopLimit: hopLimit);

    private static byte[] Payload(int number) => [.. PlainBytes.Word(number >> 16), .. PlainBytes.Word(number & 0xffff), .. new byte[28]];
}
