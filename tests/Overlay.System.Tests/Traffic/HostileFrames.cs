using System.Buffers.Binary;

namespace Overlay.SystemTests.Traffic;

/// <summary>A frame for the underlay and what the RFCs say of it.</summary>
/// <param name="Frames">To put on the underlay, one after another; several where the outer packet is in fragments.</param>
/// <param name="Inner">What must come out at the device, from its IP header on; null: nothing.</param>
/// <param name="Reason">By which the daemon must count it; null where it comes out, or the host's kernel has to drop it.</param>
/// <param name="IsIncomplete">Whether the kernel keeps it for the rest of its packet, which never comes.</param>
internal sealed record HostileFrame(byte[][] Frames, byte[]? Inner, string? Reason, bool IsIncomplete = false)
{
    /// <summary>Whether the host's kernel must refuse it.</summary>
    public bool IsForTheKernel => Inner is null && Reason is null && !IsIncomplete;
}

/// <summary>How the tunnel under test wraps.</summary>
internal enum HostileTunnel
{
    Vxlan,
    Geneve,
    GeneveIp,
    IpInIp,
}

/// <summary>
/// Makes outer frames, sound and unsound, and knows of each by its making whether it may pass.
/// </summary>
internal sealed class HostileFrames(Random random, HostileTunnel tunnel, bool ipv6, byte[] ethernet, string source, string stranger, string target)
{
    public const uint Vni = 42;

    private const int KnownClass = 0x0102;
    private const int KnownType = 0x83;

    private readonly byte[] _device = PlainBytes.Mac("02:00:00:00:00:01");
    private readonly byte[] _peer = PlainBytes.Mac("02:00:00:00:00:02");
    private int _number;

    private int Port => tunnel == HostileTunnel.Vxlan ? 4789 : 6081;

    /// <summary>The next of a fixed round of kinds, so that each is met equally often.</summary>
    public HostileFrame Next(int index)
    {
        int kind = index % 16;
        int turn = index / 16;
        (byte[] inner, bool innerV6) = Inner(ecn: 0);
        byte[] tunnelled = Wrap(inner, innerV6);
        return kind switch
        {
            0 => Marked(turn),
            1 => Truncated(tunnelled, turn % tunnelled.Length),
            2 => Lost(Frame(tunnelled)[0][..(14 + (turn % (Frame(tunnelled)[0].Length - 15)))]),
            // Over IPv6 a UDP length of 0 means that of the IP payload (RFC 2675, 4).
            3 when turn % 2 == 0 => Lost(Frame(tunnelled, udpLength: random.Next(ipv6 ? 1 : 0, 8))[0]),
            3 => Lost(Frame(tunnelled, udpLength: tunnelled.Length + 9 + random.Next(500))[0]),
            4 => WrongChecksum(tunnelled),
            5 => Flags(inner, innerV6, turn),
            6 => Reserved(inner, innerV6),
            7 => new(Frame(Wrap(inner, innerV6, vni: Vni + 1 + (uint)random.Next(0xffff00))), null, "ingress-unknown-segment"),
            8 => new(Frame(tunnelled, from: stranger), null, "ingress-unknown-peer"),
            9 => OuterFragment.InTurn(ethernet, source, target, 17, PlainBytes.Udp(source, target, 50_000, Port, tunnelled), inner, _number, turn),
            10 => Nested(),
            11 => WrongInner(turn),
            12 or 13 when tunnel != HostileTunnel.Vxlan => Options(inner, innerV6, turn),
            12 => new(Frame(Wrap(inner, innerV6, tag: [0x81, 0, 0, (byte)turn])), null, "ingress-inner-vlan"),
            13 => new(Frame(Wrap(inner, innerV6, device: PlainBytes.Mac("02:00:00:00:00:63"))), null, "ingress-inner-mac"),
            14 => InnerCutShort(inner, innerV6),
            15 when turn % 2 == 0 => WithoutChecksum(tunnelled, inner),
            _ => new(Frame(tunnelled), inner, null),
        };
    }

    /// <summary>RFC 6040, figure 4, all sixteen in turn.</summary>
    private HostileFrame Marked(int turn)
    {
        int innerEcn = turn & 3, outerEcn = (turn >> 2) & 3;
        (byte[] inner, bool innerV6) = Inner(innerEcn);
        byte[][] frame = Frame(Wrap(inner, innerV6), trafficClass: 0xb8 | outerEcn);
        return EcnTable.Leaves(innerEcn, outerEcn) is { } leaves
            ? new(frame, Inner(leaves, _number).Bytes, null)
            : new(frame, null, "ingress-ecn-conflict");
    }

    private HostileFrame Truncated(byte[] tunnelled, int kept)
    {
        int header = tunnel == HostileTunnel.Vxlan ? 8 : 8 + ((tunnelled[0] & 0x3f) * 4);
        return new(Frame(tunnelled[..kept]), null, kept < header ? "ingress-malformed" : "ingress-inner-malformed");
    }

    private HostileFrame WrongChecksum(byte[] tunnelled)
    {
        byte[] frame = Frame(tunnelled)[0];
        Span<byte> checksum = ChecksumIn(frame);
        PlainBytes.Word(BinaryPrimitives.ReadUInt16BigEndian(checksum) == 0x1234 ? 0x4321 : 0x1234).CopyTo(checksum);
        return Lost(frame);
    }

    /// <summary>Sound over IPv4 (RFC 768); over IPv6 only where it is allowed in so many words (RFC 6935, 4), as it is not here.</summary>
    private HostileFrame WithoutChecksum(byte[] tunnelled, byte[] inner)
    {
        byte[] frame = Frame(tunnelled)[0];
        ChecksumIn(frame).Clear();
        return ipv6 ? Lost(frame) : new([frame], inner, null);
    }

    private Span<byte> ChecksumIn(byte[] frame) => frame.AsSpan(14 + (ipv6 ? 40 : 20) + 6, 2);

    private HostileFrame Flags(byte[] inner, bool innerV6, int turn)
    {
        byte[] tunnelled = Wrap(inner, innerV6);
        if (tunnel == HostileTunnel.Vxlan)
        {
            tunnelled[0] = (byte)turn;
            return (turn & 8) != 0 ? new(Frame(tunnelled), inner, null) : new(Frame(tunnelled), null, "ingress-malformed");
        }
        switch (turn % 4)
        {
            case 0:
                tunnelled[0] |= (byte)(random.Next(1, 4) << 6);
                return new(Frame(tunnelled), null, "ingress-tunnel-version");
            case 1:
                tunnelled[1] |= 0x80;
                return new(Frame(tunnelled), null, "ingress-control");
            case 2:
                // The C bit without a critical option: options are read all the same, and none stands in the way.
                tunnelled[1] |= 0x40;
                return new(Frame(tunnelled), inner, null);
            default:
                PlainBytes.Word(random.Next(2) == 0 ? 0x0806 : 0x8847).CopyTo(tunnelled, 2);
                return new(Frame(tunnelled), null, "ingress-payload-type");
        }
    }

    private HostileFrame Reserved(byte[] inner, bool innerV6)
    {
        byte[] tunnelled = Wrap(inner, innerV6);
        tunnelled[7] = (byte)random.Next(256);
        if (tunnel == HostileTunnel.Vxlan) random.NextBytes(tunnelled.AsSpan(1, 3));
        else tunnelled[1] |= (byte)random.Next(64);
        return new(Frame(tunnelled), inner, null);
    }

    private HostileFrame Options(byte[] inner, bool innerV6, int turn)
    {
        byte[] known = Option(KnownClass, KnownType, 1);
        byte[] harmless = Option(random.Next(65_536), random.Next(0x80), random.Next(32));
        byte[] critical = Option(0xfff0, 0x80 | random.Next(0x80), random.Next(8));
        switch (turn % 6)
        {
            case 0:
                return new(Frame(Wrap(inner, innerV6, options: [.. known, .. harmless])), inner, null);
            case 1:
                return new(Frame(Wrap(inner, innerV6, options: [.. harmless, .. critical])), null, "ingress-critical-option");
            case 2:
                byte[] overrun = [.. known, .. Option(1, 1, 1)];
                overrun[11] = (byte)(2 + random.Next(30));
                return new(Frame(Wrap(inner, innerV6, options: overrun)), null, "ingress-tunnel-options");
            case 3:
                byte[] past = Wrap(inner[..20], innerV6, options: known);
                past[0] = 63;
                return new(Frame(past), null, "ingress-malformed");
            case 4 when tunnel == HostileTunnel.Geneve:
                return new(Frame(Wrap(inner, innerV6, tag: [0x88, 0xa8, 0, 7])), null, "ingress-inner-vlan");
            case 5 when tunnel == HostileTunnel.Geneve:
                return new(Frame(Wrap(inner, innerV6, device: PlainBytes.Mac("02:00:00:00:00:63"))), null, "ingress-inner-mac");
            default:
                return new(Frame(Wrap(inner, innerV6, options: [.. Enumerable.Repeat(known, 31).SelectMany(each => each)])), inner, null);
        }
    }

    /// <summary>A tunnel in the tunnel is a packet like any other.</summary>
    private HostileFrame Nested()
    {
        byte[] deeper = [8, 0, 0, 0, 0, 0, (byte)Vni, 0, .. _device, .. _peer, 8, 0, .. Inner(0).Bytes];
        byte[] udp = PlainBytes.Udp(NumberedPacket.Source4, NumberedPacket.Target4, 1024 + (_number % 60_000), 4789, deeper);
        byte[] inner = PlainBytes.Ipv4(NumberedPacket.Source4, NumberedPacket.Target4, 17, udp, identification: _number);
        return new(Frame(Wrap(inner, innerV6: false)), inner, null);
    }

    private HostileFrame WrongInner(int turn)
    {
        byte[] number = [.. PlainBytes.Word(++_number), .. new byte[20]];
        byte[] inner = (turn % 4) switch
        {
            0 => PlainBytes.Ipv4(NumberedPacket.Source4, NumberedPacket.Target4, NumberedPacket.Protocol, number, first: 0x40 | random.Next(5)),
            1 => PlainBytes.Ipv4(NumberedPacket.Source4, NumberedPacket.Target4, NumberedPacket.Protocol, number, first: (random.Next(5, 16) << 4) | 5),
            2 => PlainBytes.Ipv4(NumberedPacket.Source4, NumberedPacket.Target4, NumberedPacket.Protocol, number, length: 43 + random.Next(60_000)),
            _ => PlainBytes.Ipv4(NumberedPacket.Source4, NumberedPacket.Target4, NumberedPacket.Protocol, number, length: random.Next(20)),
        };
        return new(Frame(Wrap(inner, innerV6: false)), null, "ingress-inner-malformed");
    }

    private HostileFrame InnerCutShort(byte[] inner, bool innerV6) =>
        new(Frame(Wrap(inner[..^random.Next(1, 20)], innerV6)), null, "ingress-inner-malformed");

    private (byte[] Bytes, bool IsIpv6) Inner(int ecn, int? number = null)
    {
        int of = number ?? ++_number;
        return of % 2 == 0 ? (NumberedPacket.Ipv4(of, ecn), false) : (NumberedPacket.Ipv6(of, ecn), true);
    }

    private byte[] Wrap(byte[] inner, bool innerV6, uint vni = Vni, byte[]? options = null, byte[]? tag = null, byte[]? device = null)
    {
        byte[] type = innerV6 ? [0x86, 0xdd] : [8, 0];
        byte[] identifier = [(byte)(vni >> 16), (byte)(vni >> 8), (byte)vni, 0];
        byte[] frame = [.. device ?? _device, .. _peer, .. tag ?? [], .. type, .. inner];
        byte words = (byte)((options?.Length ?? 0) / 4);
        return tunnel switch
        {
            HostileTunnel.Vxlan => [8, 0, 0, 0, .. identifier, .. frame],
            HostileTunnel.Geneve => [words, 0, 0x65, 0x58, .. identifier, .. options ?? [], .. frame],
            _ => [words, 0, .. type, .. identifier, .. options ?? [], .. inner],
        };
    }

    private static byte[] Option(int optionClass, int type, int words) =>
        [.. PlainBytes.Word(optionClass), (byte)type, (byte)words, .. new byte[4 * words]];

    private byte[][] Frame(byte[] tunnelled, string? from = null, int trafficClass = 0, int? udpLength = null)
    {
        string sender = from ?? source;
        byte[] udp = PlainBytes.Udp(sender, target, 49_152 + random.Next(1000), Port, tunnelled, udpLength);
        return ipv6
            ? [[.. ethernet, 0x86, 0xdd, .. PlainBytes.Ipv6(sender, target, 17, udp, trafficClass)]]
            : [[.. ethernet, 8, 0, .. PlainBytes.Ipv4(sender, target, 17, udp, trafficClass)]];
    }

    private static HostileFrame Lost(byte[] frame) => new([frame], null, null);
}
