namespace Overlay.SystemTests.Traffic;

/// <summary>
/// As <see cref="HostileFrames"/>, for IP-in-IP, whose outer header is followed by the packet at once: half of the frames hold IPv4, half IPv6.
/// </summary>
/// <param name="source">Outer address of the peer.</param>
/// <param name="stranger">Outer address of nobody's.</param>
/// <param name="target">Outer address of the daemon.</param>
/// <param name="own">Addresses of the daemon's device, one of each family.</param>
internal sealed class HostileIpInIpFrames(
    Random random, bool outerV6, byte[] ethernet, string source, string stranger, string target, (string V4, string V6) own)
{
    private const int Kinds = 16;
    private const byte Ipv4InIp = 4;
    private const byte Ipv6InIp = 41;
    private const byte DestinationOptions = 60;
    private const int DontFragment = 0x4000;

    private int _number;
    private bool _innerV6;

    private byte Protocol => _innerV6 ? Ipv6InIp : Ipv4InIp;

    /// <summary>The next of a fixed round of kinds, so that each is met equally often with each inner version.</summary>
    public HostileFrame Next(int index)
    {
        int turn = index / Kinds / 2;
        _innerV6 = index / Kinds % 2 == 1;
        byte[] inner = Inner(++_number);
        return (index % Kinds) switch
        {
            0 => Marked(turn),
            1 => new([Frame(inner[..(turn % inner.Length)])], null, "ingress-inner-malformed"),
            2 => Lost(Frame(inner)[..(14 + (turn % (Frame(inner).Length - 15)))]),
            3 => WrongLength(inner, turn),
            4 => BrokenOuter(inner, turn),
            5 => outerV6 ? OuterExtensions(inner, turn) : OuterOptions(inner, turn),
            6 => IgnoredBits(inner),
            7 => new([Frame(FromAWrongSource(turn))], null, "ingress-inner-source"),
            8 => new([Frame(inner, from: stranger)], null, "ingress-unknown-peer"),
            9 => OuterFragment.InTurn(ethernet, source, target, Protocol, inner, inner, _number, turn),
            10 => Nested(turn),
            11 => new([Frame(WrongInner(turn))], null, "ingress-inner-malformed"),
            12 => new([Frame(Inner(_number, timeToLive: 0))], null, "ingress-expired"),
            13 => FromAnUnusualSource(turn),
            // RFC 4213, 3.6: the inner packet's own length counts, for the outer one may be padded.
            14 => new([Frame([.. inner, .. new byte[random.Next(1, 60)]])], inner, null),
            _ => new([Frame(inner)], inner, null),
        };
    }

    /// <summary>RFC 6040, figure 4, all sixteen in turn.</summary>
    private HostileFrame Marked(int turn)
    {
        int innerEcn = turn & 3, outerEcn = (turn >> 2) & 3;
        byte[] frame = Frame(Inner(_number, innerEcn), trafficClass: 0xb8 | outerEcn);
        return EcnTable.Leaves(innerEcn, outerEcn) is { } leaves
            ? new([frame], Inner(_number, leaves), null)
            : new([frame], null, "ingress-ecn-conflict");
    }

    /// <summary>The outer length alone is wrong: past the frame, inside the outer header, or short of the inner packet.</summary>
    private HostileFrame WrongLength(byte[] inner, int turn)
    {
        int header = outerV6 ? 0 : 20;
        return (turn % 3) switch
        {
            0 => Lost(Frame(inner, length: header + inner.Length + 1 + random.Next(500))),
            1 when !outerV6 => Lost(Frame(inner, length: random.Next(20))),
            _ => new([Frame(inner, length: header + random.Next(inner.Length))], null, "ingress-inner-malformed"),
        };
    }

    /// <summary>Another version, and over IPv4 a wrong header checksum or a header length of less than a header or more than the packet.</summary>
    private HostileFrame BrokenOuter(byte[] inner, int turn)
    {
        byte[] frame = Frame(inner);
        switch (turn % 4)
        {
            case 0 when !outerV6:
                frame[24] ^= (byte)(1 << random.Next(8));
                break;
            case 1 when !outerV6:
                frame = [.. ethernet, 8, 0, .. PlainBytes.Ipv4(source, target, Protocol, inner, first: 0x40 | random.Next(5))];
                break;
            case 2 when !outerV6:
                frame = [.. ethernet, 8, 0, .. PlainBytes.Ipv4(source, target, Protocol, new byte[random.Next(40)], first: 0x4f)];
                break;
            default:
                frame[14] = (byte)((frame[14] & 0x0f) | (turn % 3 * 0x50));
                break;
        }
        return Lost(frame);
    }

    private HostileFrame OuterOptions(byte[] inner, int turn)
    {
        switch (turn % 4)
        {
            case 0:
                byte[] noOperations = [.. Enumerable.Repeat((byte)1, 4 * random.Next(1, 11))];
                return new([WithOptions(noOperations)], inner, null);
            case 1:
                byte[] routerAlert = [148, 4, 0, 0];
                return new([WithOptions(routerAlert)], inner, null);
            case 2:
                byte[] looseRoute = [131, 7, 4, 192, 0, 2, 99, 0];
                return Lost(WithOptions(looseRoute));
            default:
                byte[] overrun = [7, (byte)random.Next(9, 255), 4, 0, 0, 0, 0, 0];
                return Lost(WithOptions(overrun));
        }

        byte[] WithOptions(byte[] options) => [.. ethernet, 8, 0, .. PlainBytes.Ipv4(source, target, Protocol, inner, options: options)];
    }

    private HostileFrame OuterExtensions(byte[] inner, int turn)
    {
        (byte Next, byte[] Header, bool Passes) extension = (turn % 7) switch
        {
            // The tunnel encapsulation limit is for entries of tunnels, not for exits (RFC 2473, 4.1.1).
            0 => (DestinationOptions, [Protocol, 0, 4, 1, (byte)random.Next(256), 1, 1, 0], true),
            1 => (0, [Protocol, 0, 1, 4, 0, 0, 0, 0], true),
            2 => (44, [Protocol, 0, 0, 0, 0, 0, 0, (byte)turn], true),
            // A routing header of an unknown type without segments left is skipped (RFC 8200, 4.4).
            3 => (43, [Protocol, 0, 253, 0, 0, 0, 0, 0], true),
            4 => (DestinationOptions, [Protocol, 0, 0x7e, 4, 0, 0, 0, 0], false),
            5 => (DestinationOptions, [Protocol, 0, 1, (byte)random.Next(5, 256), 0, 0, 0, 0], false),
            _ => (DestinationOptions, [Protocol, (byte)random.Next(16, 256), 1, 4, 0, 0, 0, 0], false),
        };
        byte[] frame = [.. ethernet, 0x86, 0xdd, .. PlainBytes.Ipv6(source, target, extension.Next, [.. extension.Header, .. inner])];
        return extension.Passes ? new([frame], inner, null) : Lost(frame);
    }

    /// <summary>What an exit takes no notice of: DSCP, flow label, identification, DF, the reserved flag, and the outer TTL.</summary>
    private HostileFrame IgnoredBits(byte[] inner)
    {
        int dscp = random.Next(64) << 2;
        byte timeToLive = (byte)random.Next(1, 256);
        byte[] outer = outerV6
            ? PlainBytes.Ipv6(source, target, Protocol, inner, dscp, hopLimit: timeToLive)
            : PlainBytes.Ipv4(
                source, target, Protocol, inner, dscp, identification: random.Next(65_536), fragment: random.Next(4) * DontFragment, timeToLive: timeToLive);
        if (outerV6) random.NextBytes(outer.AsSpan(2, 2));
        return new([[.. ethernet, .. Type(outerV6), .. outer]], inner, null);
    }

    /// <summary>Ends of the tunnel, addresses of the daemon's own device, martians, and IPv4 addresses in IPv6 ones that cannot be there.</summary>
    private byte[] FromAWrongSource(int turn)
    {
        string[] always4 = [own.V4, "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"];
        string[] always6 =
        [
            own.V6, "::", "::1", "::192.0.2.55", "::ffff:192.0.2.55", "::ffff:10.244.2.2", "ff02::1", "ff0e::99", "2002:a00:1::1", "2002:c0a8:101::1",
            "2002:ac1f:1::1", "2002:7f00:1::1", "2002:e000:1::1", "2002:a9fe:1::1", "2002::1", "2002:ffff:ffff::1", "2001:db8:5::5efe:127.0.0.1",
            "fe80::200:5efe:224.0.0.1",
        ];
        string[] ends4 = outerV6 ? [] : [source, target];
        string[] ends6 = outerV6
            ? [source, target]
            : [$"2002:{Hex(source)}::1", $"2002:{Hex(target)}::1", $"fe80::5efe:{source}", $"fe80::5efe:{target}", $"2001:db8:5::200:5efe:{target}"];
        string[] sources = _innerV6 ? [.. always6, .. ends6] : [.. always4, .. ends4];
        return Inner(_number, from: sources[turn % sources.Length]);
    }

    /// <summary>Sources that look like those, and can be.</summary>
    private HostileFrame FromAnUnusualSource(int turn)
    {
        string[] sources = _innerV6
            ? ["2002:808:808::1", "2001:db8:5::5efe:10.0.0.9", "2001:db8:5::200:5efe:9.9.9.9", "64:ff9b::192.0.2.55", "2001:0:101:101::7", "fe80::77", "fec0::1"]
            : ["1.0.0.0", "126.255.255.255", "128.0.0.1", "223.255.255.255", "169.254.9.9", "192.168.0.255", "198.18.0.1"];
        byte[] inner = Inner(_number, from: sources[turn % sources.Length]);
        return new([Frame(inner)], inner, null);
    }

    /// <summary>A tunnel in the tunnel is a packet like any other, however deep, unless it comes from an end of this one.</summary>
    private HostileFrame Nested(int turn)
    {
        byte[] inner = Inner(_number);
        byte protocol = Protocol;
        for (int depth = 1 + (turn % 8); depth > 0; depth--)
        {
            inner = _innerV6
                ? PlainBytes.Ipv6(NumberedPacket.Source6, NumberedPacket.Target6, protocol, inner)
                : PlainBytes.Ipv4(NumberedPacket.Source4, NumberedPacket.Target4, protocol, inner, identification: _number);
        }
        if (turn % 3 != 0 || _innerV6 != outerV6) return new([Frame(inner)], inner, null);
        byte[] loop = outerV6 ? PlainBytes.Ipv6(source, target, protocol, inner) : PlainBytes.Ipv4(source, target, protocol, inner);
        return new([Frame(loop)], null, "ingress-inner-source");
    }

    /// <summary>Wrong versions, the other version's among them, and lengths that are not the packet's.</summary>
    private byte[] WrongInner(int turn)
    {
        byte[] number = [.. PlainBytes.Word(_number), .. new byte[20]];
        if (_innerV6)
        {
            byte[] packet = NumberedPacket.Ipv6(_number);
            if (turn % 2 == 0) return NumberedPacket.Ipv4(_number);
            if (turn % 4 == 1) packet[0] = (byte)(random.Next(6) << 4);
            else PlainBytes.Word(packet.Length - 40 + 1 + random.Next(60_000)).CopyTo(packet, 4);
            return packet;
        }
        return (turn % 5) switch
        {
            0 => NumberedPacket.Ipv6(_number),
            1 => Ipv4(first: 0x40 | random.Next(5)),
            2 => Ipv4(first: (random.Next(5, 16) << 4) | 5),
            3 => Ipv4(length: 43 + random.Next(60_000)),
            _ => Ipv4(length: random.Next(20)),
        };

        byte[] Ipv4(int first = 0x45, int? length = null) =>
            PlainBytes.Ipv4(NumberedPacket.Source4, NumberedPacket.Target4, NumberedPacket.Protocol, number, first: first, length: length);
    }

    private byte[] Inner(int number, int ecn = 0, string? from = null, byte timeToLive = 64) => _innerV6
        ? NumberedPacket.Ipv6(number, ecn, from ?? NumberedPacket.Source6, timeToLive)
        : NumberedPacket.Ipv4(number, ecn, from ?? NumberedPacket.Source4, timeToLive);

    private byte[] Frame(byte[] inner, string? from = null, int trafficClass = 0, int? length = null) =>
    [
        .. ethernet, .. Type(outerV6), .. outerV6
            ? PlainBytes.Ipv6(from ?? source, target, Protocol, inner, trafficClass, length)
            : PlainBytes.Ipv4(from ?? source, target, Protocol, inner, trafficClass, length),
    ];

    private static byte[] Type(bool ipv6) => ipv6 ? [0x86, 0xdd] : [8, 0];

    private static string Hex(string address)
    {
        byte[] bytes = System.Net.IPAddress.Parse(address).GetAddressBytes();
        return $"{bytes[0]:x2}{bytes[1]:x2}:{bytes[2]:x2}{bytes[3]:x2}";
    }

    private static HostileFrame Lost(byte[] frame) => new([frame], null, null);
}
