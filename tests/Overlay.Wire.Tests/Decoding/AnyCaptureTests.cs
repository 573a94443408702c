using Overlay.Testing;
using Overlay.Testing.Captures;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.Wire.Tests.Decoding;

/// <summary>No file makes a reader or the decoder throw anything but that the file is unsound, or run on beyond its end.</summary>
public sealed class AnyCaptureTests
{
    private const int SmallestRecord = 16;

    private static readonly byte[][] Interesting =
        [[0x00], [0xff], [0x7f], [0x80], [0x45], [0x46], [0x60], [17], [4], [41], [44], [0, 0], [0, 7], [0, 8], [0xff, 0xff], [0x12, 0xb5], [0x17, 0xc1]];

    [Fact]
    public void Decode_RandomBytes_KeepsItsPromises() => Seeded.Check(20_000, random =>
    {
        byte[] frame = new byte[random.Next(200)];
        random.NextBytes(frame);
        if (frame.Length > 34 && random.Next(4) != 0)
        {
            bool isIpv6 = random.Next(2) == 0;
            (frame[12], frame[13]) = isIpv6 ? ((byte)0x86, (byte)0xdd) : ((byte)0x08, (byte)0x00);
            frame[14] = (byte)(isIpv6 ? 0x60 : 0x45 + random.Next(3));
            frame[isIpv6 ? 20 : 23] = Interesting[random.Next(7, 11)][0];
        }
        Check(Decode.Frame(new CaptureRecord(frame, random.Next(2) == 0 ? frame.Length : random.Next(3000))));
    });

    [Fact]
    public void Decode_MutatedTunnels_KeepsItsPromises() => Seeded.Check(4_000, random =>
    {
        byte[] original = RandomTunnels.Frame(random);
        for (int i = 0; i < 50; i++)
        {
            byte[] frame = [.. original];
            for (int changes = random.Next(1, 4); changes > 0; changes--) Change(random, frame.AsSpan(0, Math.Min(frame.Length, 130)));
            int kept = random.Next(3) == 0 ? random.Next(frame.Length + 1) : frame.Length;
            Check(Decode.Frame(new CaptureRecord(frame[..kept], random.Next(2) == 0 ? frame.Length : kept)));
        }
    });

    [Fact]
    public void Decode_MutatedTunnels_AgreesWithTheStrictViews() => Seeded.Check(2_000, random =>
    {
        byte[] frame = RandomTunnels.Frame(random);
        for (int i = 0; i < 20; i++)
        {
            Change(random, frame.AsSpan(12, Math.Min(frame.Length - 12, 118)));
            DecodedFrame decoded = Decode.Frame(frame);
            if (!TryFindVni(frame, out uint vni)) continue;
            Assert.Null(decoded.Error);
            Assert.Equal(vni, decoded.Vni);
        }
    });

    [Fact]
    public void Read_MutatedFiles_EndsAtTheEndOrAtAnError() => Seeded.Check(20_000, random =>
    {
        byte[] file = File(random);
        for (int changes = random.Next(1, 5); changes > 0; changes--) Change(random, file.AsSpan(0, random.Next(1, file.Length + 1)));
        ReadAll(file[..(random.Next(4) == 0 ? random.Next(file.Length + 1) : file.Length)]);
    });

    [Fact]
    public void Read_RandomFilesWithAMagic_EndsAtTheEndOrAtAnError() => Seeded.Check(20_000, random =>
    {
        byte[] file = new byte[random.Next(12, 2000)];
        random.NextBytes(file);
        byte[] magic = random.Next(3) switch
        {
            0 => [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0],
            1 => [0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4],
            _ => [0x0a, 0x0d, 0x0d, 0x0a, 0x1c, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a],
        };
        magic.CopyTo(file, 0);
        ReadAll(file);
    });

    private static byte[] File(Random random)
    {
        CaptureRecord[] records = [.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => new CaptureRecord(RandomTunnels.Frame(random)))];
        if (random.Next(2) == 0) return PcapFile.Write(records, random.Next(2) == 0, random.Next(2) == 0);
        PcapngFile file = new PcapngFile().Section(random.Next(2) == 0).Interface();
        foreach (CaptureRecord record in records)
        {
            _ = random.Next(4) switch
            {
                0 => file.Simple(record),
                1 => file.Obsolete(0, record),
                2 => file.Section(random.Next(2) == 0).Interface().Interface().Enhanced(1, record),
                _ => file.Enhanced(0, record),
            };
        }
        return file.ToArray();
    }

    private static void Change(Random random, Span<byte> bytes)
    {
        int at = random.Next(bytes.Length);
        if (random.Next(2) == 0) bytes[at] = (byte)random.Next(256);
        else if (Interesting[random.Next(Interesting.Length)] is { } value && at + value.Length <= bytes.Length) value.CopyTo(bytes[at..]);
    }

    private static void ReadAll(byte[] file)
    {
        int frames = 0;
        try
        {
            var reader = CaptureReader.Open(new MemoryStream(file));
            var decoder = new FrameDecoder(new TunnelPorts());
            while (reader.TryRead(out CapturedFrame frame))
            {
                frames++;
                Check(decoder.Decode(frame));
            }
        }
        catch (CaptureFormatException exception)
        {
            Assert.NotEmpty(exception.Message);
        }
        Assert.True(frames <= file.Length / SmallestRecord);
    }

    private static void Check(DecodedFrame decoded)
    {
        if (decoded.Tunnel == TunnelKind.None)
        {
            Decode.HasNoTunnel(decoded);
            return;
        }
        bool isUdp = decoded.Tunnel is TunnelKind.Vxlan or TunnelKind.VxlanGpe or TunnelKind.Geneve;
        bool isGeneve = decoded.Tunnel == TunnelKind.Geneve;
        Assert.NotNull(decoded.OuterSource);
        Assert.NotNull(decoded.OuterDestination);
        Assert.Equal(isUdp, decoded.OuterDestinationPort is not null);
        Assert.True(decoded.InnerLength is null or (>= 0 and <= uint.MaxValue));
        Assert.Equal(decoded.InnerSource is null, decoded.InnerDestination is null);
        Assert.Equal(decoded.InnerEthernetSource is null, decoded.InnerEthernetDestination is null);
        Assert.True(isGeneve || (decoded.Options ?? (object?)decoded.IsOam ?? decoded.InnerProtocol) is null);
        Assert.True(decoded.VxlanFlags is null || (isUdp && !isGeneve));
        if (decoded.Error is not null) return;
        Assert.Equal(isUdp, decoded.Vni is not null);
        Assert.Equal(isGeneve, decoded.Options is not null && decoded.IsOam is not null && decoded.HasCriticalOptions is not null);
    }

    /// <summary>By the views that the daemon uses, which admit only sound packets.</summary>
    private static bool TryFindVni(byte[] bytes, out uint vni)
    {
        vni = 0;
        if (EthernetFrame.TryParse(bytes, out EthernetFrame frame) != WireStatus.Ok) return false;
        ReadOnlySpan<byte> upper;
        if (frame.EtherType == EtherTypes.Ipv4 && Ipv4Packet.TryParse(frame.Payload, out Ipv4Packet v4) == WireStatus.Ok
            && v4 is { IsFragment: false, Protocol: IpProtocols.Udp })
            upper = v4.Payload;
        else if (frame.EtherType == EtherTypes.Ipv6 && Ipv6Packet.TryParse(frame.Payload, out Ipv6Packet v6) == WireStatus.Ok
            && v6 is { IsFragment: false, UpperProtocol: IpProtocols.Udp })
            upper = v6.UpperPayload;
        else return false;
        if (UdpHeader.TryParse(upper, out UdpHeader udp) != WireStatus.Ok) return false;
        switch (udp.DestinationPort)
        {
            case VxlanHeader.DefaultPort when VxlanHeader.TryParse(udp.Payload, out VxlanHeader vxlan) == WireStatus.Ok:
                vni = vxlan.Vni;
                return true;
            case GeneveHeader.DefaultPort when GeneveHeader.TryParse(udp.Payload, out GeneveHeader geneve) == WireStatus.Ok:
                vni = geneve.Vni;
                return true;
            default:
                return false;
        }
    }
}
