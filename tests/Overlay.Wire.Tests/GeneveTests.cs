using Overlay.Testing;

namespace Overlay.Wire.Tests;

public sealed class GeneveTests
{
    [Fact]
    public void TryParse_HeaderWithOptions_ReadsEveryField()
    {
        // Version 0, 3 words of options, O and C set, Ethernet, VNI 0xabcdef; two options, reserved bits set throughout; payload ee ff.
        byte[] datagram = Convert.FromHexString("03ff6558abcdefff" + "01028ae1" + "0a0b0c0d" + "ffff7fe0" + "eeff");

        Assert.Equal(WireStatus.Ok, GeneveHeader.TryParse(datagram, out GeneveHeader view));
        Assert.Equal((20, true, true), (view.HeaderLength, view.IsControl, view.HasCriticalOptions));
        Assert.Equal((0x6558, 0xabcdefu), (view.ProtocolType, view.Vni));
        Assert.Equal("eeff", Convert.ToHexStringLower(view.Payload));
        var options = new List<string>();
        foreach (GeneveOption option in view.Options)
            options.Add($"{option.Class:x4} {option.Type:x2} {option.IsCritical} {option.Length} {Convert.ToHexStringLower(option.Data)}");
        Assert.Equal(["0102 8a True 8 0a0b0c0d", "ffff 7f False 4 "], options);
        Assert.Equal(12, view.Options.Bytes.Length);
    }

    [Theory]
    [InlineData("", WireStatus.Truncated)]
    [InlineData("00006558000001", WireStatus.Truncated)]
    [InlineData("0100655800000100", WireStatus.Truncated)] // options beyond the datagram
    [InlineData("3f00655800000100" + "00000000", WireStatus.Truncated)]
    [InlineData("4000655800000100", WireStatus.BadVersion)]
    [InlineData("c000655800000100", WireStatus.BadVersion)]
    [InlineData("0100655800000100" + "00000001" + "00000000", WireStatus.BadLength)] // an option beyond the options
    [InlineData("0200655800000100" + "00000002" + "00000000" + "00000000", WireStatus.BadLength)]
    public void TryParse_UnsoundHeader_IsRefused(string hex, WireStatus status) =>
        Assert.Equal(status, GeneveHeader.TryParse(Convert.FromHexString(hex), out _));

    [Fact]
    public void TryParse_NoOptions_IsOk()
    {
        Assert.Equal(WireStatus.Ok, GeneveHeader.TryParse(Convert.FromHexString("0000080000000100"), out GeneveHeader view));
        Assert.Equal((8, 0, EtherTypes.Ipv4, 1u), (view.HeaderLength, view.Payload.Length, view.ProtocolType, view.Vni));
        Assert.False(view.Options.GetEnumerator().MoveNext());
    }

    [Fact]
    public void TryParse_MostOptions_IsOk()
    {
        byte[] options = [.. Enumerable.Repeat<byte[]>([0, 1, 2, 0], 63).SelectMany(option => option)];
        byte[] datagram = new byte[GeneveHeader.FixedLength + GeneveHeader.MaxOptionsLength];
        GeneveHeader.Write(datagram, 1, EtherTypes.Ipv6, options);

        Assert.Equal(WireStatus.Ok, GeneveHeader.TryParse(datagram, out GeneveHeader view));
        Assert.Equal(datagram.Length, view.HeaderLength);
    }

    [Fact]
    public void Write_OverDirtyBytes_WritesReservedBitsAsZero()
    {
        byte[] option = Dirty(8), datagram = Dirty(16);
        Assert.Equal(8, GeneveOption.Write(option, 0x0102, 0x03, [1, 2, 3, 4]));
        Assert.Equal(16, GeneveHeader.Write(datagram, 0x00002a, EtherTypes.TransparentEthernet, option, isControl: true));

        Assert.Equal("0280655800002a00" + "01020301" + "01020304", Convert.ToHexStringLower(datagram));
    }

    [Theory]
    [InlineData(0x7f, false)]
    [InlineData(0x80, true)]
    public void Write_OptionTypes_SetTheCriticalBit(int type, bool isCritical)
    {
        byte[] options = new byte[8], datagram = new byte[16];
        GeneveOption.Write(options, 1, 0, []);
        GeneveOption.Write(options.AsSpan(4), 1, (byte)type, []);
        GeneveHeader.Write(datagram, 1, EtherTypes.Ipv4, options);

        Assert.Equal(WireStatus.Ok, GeneveHeader.TryParse(datagram, out GeneveHeader view));
        Assert.Equal(isCritical, view.HasCriticalOptions);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(128)]
    public void WriteOption_DataThatNoLengthFieldHolds_Throws(int length) =>
        Assert.Throws<ArgumentException>(() => GeneveOption.Write(new byte[200], 1, 2, new byte[length]));

    [Theory]
    [InlineData("00000001")]
    [InlineData("0000")]
    public void Write_OptionsThatDoNotAddUp_Throws(string options) =>
        Assert.Throws<ArgumentException>(() => GeneveHeader.Write(new byte[300], 1, 2, Convert.FromHexString(options)));

    [Fact]
    public void Write_TooManyOptions_Throws() =>
        Assert.Throws<ArgumentException>(() => GeneveHeader.Write(new byte[300], 1, 2, new byte[GeneveHeader.MaxOptionsLength + 4]));

    [Fact]
    public void Parse_OfWritten_IsIdentity() => Seeded.Check(20_000, random =>
    {
        Span<byte> options = stackalloc byte[GeneveHeader.MaxOptionsLength];
        Span<byte> data = stackalloc byte[GeneveOption.MaxDataLength];
        random.NextBytes(data);
        int length = 0;
        bool hasCritical = false;
        while (random.Next(4) != 0 && length + 40 <= options.Length)
        {
            byte type = (byte)random.Next(256);
            hasCritical |= type >= 0x80;
            length += GeneveOption.Write(options[length..], (ushort)random.Next(0x10000), type, data[..(random.Next(10) * 4)]);
        }
        uint vni = (uint)random.Next(0x1000000);
        ushort protocol = (ushort)random.Next(0x10000);
        bool isControl = random.Next(2) == 0;
        Span<byte> datagram = stackalloc byte[300];
        int header = GeneveHeader.Write(datagram, vni, protocol, options[..length], isControl);

        Assert.Equal(WireStatus.Ok, GeneveHeader.TryParse(datagram[..header], out GeneveHeader view));
        Assert.Equal((header, vni, protocol, isControl, hasCritical), (view.HeaderLength, view.Vni, view.ProtocolType, view.IsControl, view.HasCriticalOptions));
        Assert.True(view.Options.Bytes.SequenceEqual(options[..length]));
        for (int kept = 0; kept < header; kept++)
            Assert.Equal(WireStatus.Truncated, GeneveHeader.TryParse(datagram[..kept], out _));
    });

    [Fact]
    public void TryParse_RandomBytes_OptionsAddUpOrAreRefused() => Seeded.Check(2_000, random =>
    {
        Span<byte> bytes = stackalloc byte[300];
        for (int i = 0; i < 200; i++)
        {
            random.NextBytes(bytes);
            bytes[0] = (byte)random.Next(0x50);
            for (int option = 8; option + 3 < bytes.Length; option += 4) bytes[option + 3] &= 1;
            if (GeneveHeader.TryParse(bytes[..random.Next(bytes.Length)], out GeneveHeader view) != WireStatus.Ok) continue;
            int sum = 0;
            foreach (GeneveOption option in view.Options) sum += option.Length;
            Assert.Equal(view.HeaderLength - GeneveHeader.FixedLength, sum);
        }
    });

    private static byte[] Dirty(int length)
    {
        byte[] bytes = new byte[length];
        bytes.AsSpan().Fill(0xff);
        return bytes;
    }
}
