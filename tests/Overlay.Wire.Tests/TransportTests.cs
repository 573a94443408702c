namespace Overlay.Wire.Tests;

public sealed class TransportTests
{
    [Theory]
    [InlineData(8, 8, WireStatus.Ok)]
    [InlineData(12, 20, WireStatus.Ok)]
    [InlineData(12, 11, WireStatus.Truncated)]
    [InlineData(8, 7, WireStatus.Truncated)]
    [InlineData(7, 8, WireStatus.BadLength)]
    [InlineData(0, 8, WireStatus.BadLength)]
    public void UdpTryParse_Lengths_GiveStatus(byte length, int bytes, WireStatus expected)
    {
        byte[] datagram = new byte[32];
        datagram[5] = length;

        Assert.Equal(expected, UdpHeader.TryParse(datagram.AsSpan(0, bytes), out UdpHeader view));
        if (expected == WireStatus.Ok) Assert.Equal(length - 8, view.Payload.Length);
    }

    [Theory]
    [InlineData(0x50, 20, WireStatus.Ok)]
    [InlineData(0x50, 30, WireStatus.Ok)]
    [InlineData(0xf0, 60, WireStatus.Ok)]
    [InlineData(0xf0, 59, WireStatus.Truncated)]
    [InlineData(0x50, 19, WireStatus.Truncated)]
    [InlineData(0x40, 20, WireStatus.BadHeaderLength)]
    [InlineData(0x00, 20, WireStatus.BadHeaderLength)]
    public void TcpTryParse_Lengths_GiveStatus(byte dataOffset, int bytes, WireStatus expected)
    {
        byte[] segment = new byte[64];
        segment[12] = dataOffset;

        Assert.Equal(expected, TcpHeader.TryParse(segment.AsSpan(0, bytes), out TcpHeader view));
        if (expected == WireStatus.Ok) Assert.Equal(bytes, view.HeaderLength + view.Payload.Length);
    }

    [Fact]
    public void TcpOptions_OfASyn_AreReadInOrder()
    {
        byte[] options = Convert.FromHexString("020405b40402080a0000000700000000" + "01030307" + "00ff");

        Assert.Equal(["2:05B4", "4:", "8:0000000700000000", "3:07"], Read(options));
    }

    [Theory]
    [InlineData("")]
    [InlineData("0101")]
    [InlineData("00020405b4")]
    [InlineData("02")] // no length
    [InlineData("0200")]
    [InlineData("0201")]
    [InlineData("020405")] // longer than what is there
    public void TcpOptions_NothingOrBroken_End(string options) => Assert.Empty(Read(Convert.FromHexString(options)));

    [Fact]
    public void VxlanTryParse_ReservedBits_AreIgnored()
    {
        byte[] datagram = Convert.FromHexString("ffffffff00002aff" + "aa");

        Assert.Equal(WireStatus.Ok, VxlanHeader.TryParse(datagram, out VxlanHeader view));
        Assert.True(view.HasVni);
        Assert.Equal((0xff, 42u, 1), (view.Flags, view.Vni, view.Payload.Length));
    }

    [Fact]
    public void VxlanTryParse_WithoutVniFlag_SaysSo()
    {
        Assert.Equal(WireStatus.Ok, VxlanHeader.TryParse(Convert.FromHexString("f7ffffff00002a00"), out VxlanHeader view));
        Assert.False(view.HasVni);
        Assert.Equal(WireStatus.Truncated, VxlanHeader.TryParse(new byte[7], out _));
    }

    private static List<string> Read(byte[] options)
    {
        var read = new List<string>();
        var reader = new TcpOptionReader(options);
        while (reader.TryRead(out byte kind, out ReadOnlySpan<byte> value)) read.Add($"{kind}:{Convert.ToHexString(value)}");
        return read;
    }
}
