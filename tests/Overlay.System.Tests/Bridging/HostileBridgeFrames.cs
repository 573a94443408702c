using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Bridging;

/// <summary>
/// Makes outer frames, sound ones around hostile inner Ethernet frames, and knows of each by its making whether a bridged segment takes it.
/// Every inner frame has a number of its own and nothing that anybody merges.
/// </summary>
internal sealed class HostileBridgeFrames(Random random, bool geneve, bool ipv6, byte[] ethernet, string source, string target)
{
    public const string Fixed = "02:00:00:00:0f:01";
    public const string Own = "02:00:00:00:00:01";

    private const byte Experimental = 253;
    private const int Kinds = 16;

    private int _number;

    /// <summary>The next of a fixed round of kinds, so that each is met equally often.</summary>
    public HostileFrame Next(int index)
    {
        int turn = index / Kinds;
        byte[] group = PlainBytes.Mac(turn % 2 == 0 ? "ff:ff:ff:ff:ff:ff" : "01:00:5e:00:00:63");
        return (index % Kinds) switch
        {
            0 => Passes(Frame(Random(), Host(turn), Ip(0))),
            1 => Refused(Frame(Random(), Host(turn), Ip(0))[..(turn % 14)], "ingress-inner-malformed"),
            2 => Refused(Frame(Random(), [1, 0, 0x5e, .. Bytes(3)], Ip(0)), "ingress-source-mac"),
            3 => Refused(Frame(Random(), turn % 2 == 0 ? new byte[6] : PlainBytes.Mac("ff:ff:ff:ff:ff:ff"), Ip(0)), "ingress-source-mac"),
            4 => Refused(Frame(group, PlainBytes.Mac(Own), Ip(0)), "ingress-spoofed-mac"),
            5 => Refused(Frame(Random(), PlainBytes.Mac(Fixed), Ip(0)), "ingress-spoofed-mac"),
            6 => Refused(Frame([1, 0x80, 0xc2, 0, 0, (byte)(turn % 16)], Host(turn), [0, 38, 0x42, 0x42, 3, .. Bytes(35)]), "ingress-reserved-mac"),
            // Larger than the device's MTU: what arrives in one piece is passed on.
            7 => Passes(Frame(Random(), Host(turn), [0x88, 0xb5, .. Numbered(1500 + random.Next(3000))])),
            8 => Passes(Frame(group, Host(turn), [0x88, 0xb5, .. Numbered(random.Next(50))])),
            9 => Passes(Frame(Random(), Host(turn), Garbage(turn))),
            10 => Refused(Frame(Random(), Host(turn), [0x81, 0, 0, 7, .. Ip(0)]), "ingress-inner-vlan"),
            11 => Refused(Frame(Random(), Host(turn), turn % 2 == 0 ? [0x81, 0, 0] : [0x88, 0xa8, 0, 7, 0x81, 0, 0, 9, 8]), "ingress-inner-malformed"),
            // A source that nobody saw before, each time.
            12 => Passes(Frame(Random(), [2, 0xff, .. PlainBytes.Word(turn), 0, 0], Ip(0))),
            13 => Refused(Frame(Random(), Host(turn), Ip(0)), "ingress-ecn-conflict", trafficClass: 3),
            // ARP that claims a new address each time, half of them another's.
            14 => Passes(Frame(group, Host(turn),
                [8, 6, 0, 1, 8, 0, 6, 4, 0, 2, .. turn % 2 == 0 ? Host(turn) : Random(), 10, 9, .. PlainBytes.Word(turn), .. Bytes(6), 10, 9, 0, 1, .. Numbered(14)])),
            _ => Passes(Frame(PlainBytes.Mac(Own), Host(turn), Ip(turn & 3))),
        };
    }

    private HostileFrame Passes(byte[] frame) => new(Outer(frame, 0), frame, null);

    private HostileFrame Refused(byte[] frame, string reason, int trafficClass = 0) => new(Outer(frame, trafficClass), null, reason);

    private static byte[] Frame(byte[] destination, byte[] from, byte[] typed) => [.. destination, .. from, .. typed];

    /// <summary>An IPv4 packet of an unused protocol (RFC 3692) behind its EtherType.</summary>
    private byte[] Ip(int ecn) => [8, 0, .. PlainBytes.Ipv4("10.9.0.2", "10.9.0.1", Experimental, Numbered(20), ecn)];

    /// <summary>What calls itself IP and is not: to a bridge it is a payload like any other.</summary>
    private byte[] Garbage(int turn) => (turn % 4) switch
    {
        0 => [8, 0, (byte)(0x40 | random.Next(5)), .. Numbered(30)],
        1 => [8, 0, 0x45, 0, 0xff, 0xff, .. Numbered(30)],
        2 => [0x86, 0xdd, 0x60, 0, 0, 0, 0xff, 0xff, .. Numbered(40)],
        _ => [0, (byte)(10 + random.Next(20)), .. Numbered(46)],
    };

    private byte[] Numbered(int length)
    {
        int number = ++_number;
        return [(byte)(number >> 24), (byte)(number >> 16), (byte)(number >> 8), (byte)number, .. Bytes(length)];
    }

    private byte[] Bytes(int count)
    {
        byte[] bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }

    private byte[] Random() => [2, 0xee, .. Bytes(4)];

    private static byte[] Host(int turn) => [2, 0, 0, 0, 0x0e, (byte)(turn % 8)];

    private byte[][] Outer(byte[] frame, int trafficClass)
    {
        byte[] header = geneve ? [0, 0, 0x65, 0x58, 0, 0, 42, 0] : [8, 0, 0, 0, 0, 0, 42, 0];
        byte[] udp = PlainBytes.Udp(source, target, 49_152 + random.Next(1000), geneve ? 6081 : 4789, [.. header, .. frame]);
        return ipv6
            ? [[.. ethernet, 0x86, 0xdd, .. PlainBytes.Ipv6(source, target, 17, udp, trafficClass)]]
            : [[.. ethernet, 8, 0, .. PlainBytes.Ipv4(source, target, 17, udp, trafficClass)]];
    }
}
