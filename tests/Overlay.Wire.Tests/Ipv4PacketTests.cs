namespace Overlay.Wire.Tests;

public sealed class Ipv4PacketTests
{
    [Theory]
    [InlineData(0x45, 28, 28, WireStatus.Ok)]
    [InlineData(0x45, 20, 20, WireStatus.Ok)]
    [InlineData(0x45, 28, 60, WireStatus.Ok)]
    [InlineData(0x45, 28, 19, WireStatus.Truncated)]
    [InlineData(0x45, 28, 27, WireStatus.Truncated)]
    [InlineData(0x45, 28, 0, WireStatus.Truncated)]
    [InlineData(0x65, 28, 28, WireStatus.BadVersion)]
    [InlineData(0x05, 28, 28, WireStatus.BadVersion)]
    [InlineData(0x44, 28, 28, WireStatus.BadHeaderLength)]
    [InlineData(0x40, 28, 28, WireStatus.BadHeaderLength)]
    [InlineData(0x45, 19, 28, WireStatus.BadLength)]
    [InlineData(0x45, 0, 28, WireStatus.BadLength)]
    [InlineData(0x46, 23, 28, WireStatus.BadLength)]
    [InlineData(0x46, 24, 24, WireStatus.Ok)]
    [InlineData(0x4f, 60, 59, WireStatus.Truncated)]
    [InlineData(0x4f, 60, 60, WireStatus.Ok)]
    public void TryParse_VersionAndLengths_GiveStatus(byte versionAndLength, byte totalLength, int bytes, WireStatus expected)
    {
        byte[] packet = new byte[64];
        packet[0] = versionAndLength;
        packet[3] = totalLength;

        Assert.Equal(expected, Ipv4Packet.TryParse(packet.AsSpan(0, bytes), out Ipv4Packet view));
        if (expected == WireStatus.Ok) Assert.Equal(totalLength, view.TotalLength);
    }

    [Fact]
    public void Payload_PaddedFrame_EndsAtTotalLength()
    {
        byte[] packet = new byte[46];
        packet[0] = 0x46;
        packet[3] = 30;

        Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(packet, out Ipv4Packet view));
        Assert.Equal(4, view.Options.Length);
        Assert.Equal(6, view.Payload.Length);
    }

    [Theory]
    [InlineData(0x0000, false, false, 0, false)]
    [InlineData(0x4000, true, false, 0, false)]
    [InlineData(0x2000, false, true, 0, true)]
    [InlineData(0x0001, false, false, 8, true)]
    [InlineData(0x20b9, false, true, 1480, true)]
    [InlineData(0x1fff, false, false, 65528, true)]
    [InlineData(0x8000, false, false, 0, false)]
    public void Fragment_FlagsAndOffset_AreTakenApart(int word, bool dontFragment, bool moreFragments, int offset, bool isFragment)
    {
        byte[] packet = new byte[20];
        packet[0] = 0x45;
        packet[3] = 20;
        packet[6] = (byte)(word >> 8);
        packet[7] = (byte)word;

        Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(packet, out Ipv4Packet view));
        Assert.Equal(
            (dontFragment, moreFragments, offset, isFragment),
            (view.DontFragment, view.MoreFragments, view.FragmentOffset, view.IsFragment));
    }

    [Fact]
    public void IsHeaderChecksumValid_KnownHeader_DetectsEveryFlippedBit()
    {
        byte[] packet = Convert.FromHexString("4500001c000040004011b8b8c0a80001c0a800c70000000000000000");
        Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(packet, out Ipv4Packet view));
        Assert.True(view.IsHeaderChecksumValid);

        for (int bit = 32; bit < 160; bit++)
        {
            packet[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(packet, out view));
            Assert.False(view.IsHeaderChecksumValid, $"bit {bit}");
            packet[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }
}
