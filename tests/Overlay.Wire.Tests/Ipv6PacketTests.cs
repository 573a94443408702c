namespace Overlay.Wire.Tests;

public sealed class Ipv6PacketTests
{
    private const string Udp8 = "0001000200080000";

    [Theory]
    [InlineData(0x60, 8, 48, WireStatus.Ok)]
    [InlineData(0x60, 8, 1500, WireStatus.Ok)]
    [InlineData(0x60, 0, 40, WireStatus.Ok)]
    [InlineData(0x60, 8, 47, WireStatus.Truncated)]
    [InlineData(0x60, 0, 39, WireStatus.Truncated)]
    [InlineData(0x60, 0, 0, WireStatus.Truncated)]
    [InlineData(0x45, 8, 48, WireStatus.BadVersion)]
    [InlineData(0x70, 8, 48, WireStatus.BadVersion)]
    public void TryParse_VersionAndLengths_GiveStatus(byte version, byte payloadLength, int bytes, WireStatus expected)
    {
        byte[] packet = new byte[1500];
        packet[0] = version;
        packet[5] = payloadLength;
        packet[6] = IpProtocols.Udp;

        Assert.Equal(expected, Ipv6Packet.TryParse(packet.AsSpan(0, bytes), out Ipv6Packet view));
        if (expected == WireStatus.Ok) Assert.Equal(payloadLength, view.PayloadLength);
    }

    /// <summary>First protocol, then header after header in hexadecimal; each names the protocol that follows it.</summary>
    [Theory]
    [InlineData(17, Udp8, 17, 40)]
    [InlineData(0, "1100010400000000" + Udp8, 17, 48)] // hop-by-hop
    [InlineData(60, "1101010c000000000000000000000000" + Udp8, 17, 56)] // destination options of 16 bytes
    [InlineData(43, "1100000000000000" + Udp8, 17, 48)] // routing
    [InlineData(51, "110400000000000100000001000000000000000000000000" + Udp8, 17, 64)] // authentication
    [InlineData(0, "3c000104000000002b000104000000002c000000000000003c000000000000071100010400000000" + Udp8, 17, 80)]
    [InlineData(59, "", 59, 40)]
    [InlineData(50, "0000000100000001", 50, 40)] // encapsulating security payload ends the chain
    [InlineData(200, "00", 200, 40)]
    public void TryParse_ExtensionHeaders_AreWalked(byte nextHeader, string payload, byte upperProtocol, int upperOffset)
    {
        byte[] packet = Packet(nextHeader, payload);

        Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(packet, out Ipv6Packet view));
        Assert.Equal((upperProtocol, upperOffset), (view.UpperProtocol, view.UpperOffset));
        Assert.Equal(packet.Length - upperOffset, view.UpperPayload.Length);
        Assert.False(view.IsFragment);
    }

    [Theory]
    [InlineData(0, "", WireStatus.Truncated)] // a chain that does not begin
    [InlineData(0, "11000104000000", WireStatus.Truncated)]
    [InlineData(60, "1101010c00000000", WireStatus.Truncated)] // 16 bytes announced, 8 there
    [InlineData(43, "11ff000000000000" + Udp8, WireStatus.Truncated)]
    [InlineData(51, "11ff000000000000" + Udp8, WireStatus.Truncated)]
    [InlineData(44, "11000000000000", WireStatus.Truncated)]
    [InlineData(60, "0000010400000000" + "1100010400000000" + Udp8, WireStatus.BadField)] // hop-by-hop behind destination options
    [InlineData(0, "0000010400000000" + "1100010400000000" + Udp8, WireStatus.BadField)] // hop-by-hop twice
    [InlineData(44, "2c00000000000001" + "1100000000000002" + Udp8, WireStatus.BadField)] // a fragment header in a fragment header
    public void TryParse_BrokenChain_GivesStatus(byte nextHeader, string payload, WireStatus expected) =>
        Assert.Equal(expected, Ipv6Packet.TryParse(Packet(nextHeader, payload), out _));

    [Theory]
    [InlineData(8, WireStatus.Ok)]
    [InlineData(9, WireStatus.BadField)]
    [InlineData(100, WireStatus.BadField)]
    public void TryParse_LongChain_IsBounded(int headers, WireStatus expected)
    {
        string chain = string.Concat(Enumerable.Repeat("3c00010400000000", headers - 1)) + "1100010400000000" + Udp8;

        Assert.Equal(expected, Ipv6Packet.TryParse(Packet(IpProtocols.DestinationOptions, chain), out _));
    }

    [Theory]
    [InlineData("1100000100000007" + Udp8, 0, true, true)] // first: offset 0, more
    [InlineData("1100000900000007" + "ffff", 8, true, true)]
    [InlineData("1100fff800000007" + "ff", 65528, false, true)] // last
    [InlineData("1100000000000007" + Udp8, 0, false, false)] // atomic, RFC 6946
    public void TryParse_FragmentHeader_IsTakenApart(string payload, int offset, bool moreFragments, bool isFragment)
    {
        Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(Packet(IpProtocols.Fragment, payload), out Ipv6Packet view));
        Assert.True(view.HasFragmentHeader);
        Assert.Equal((offset, moreFragments, isFragment), (view.FragmentOffset, view.MoreFragments, view.IsFragment));
        Assert.Equal((7u, IpProtocols.Udp, 48), (view.FragmentIdentification, view.UpperProtocol, view.UpperOffset));
    }

    /// <summary>What looks like a header in a later fragment is data: the chain is in the first one.</summary>
    [Fact]
    public void TryParse_LaterFragmentOfDestinationOptions_EndsAtItsData()
    {
        byte[] packet = Packet(IpProtocols.Fragment, "3c00000800000007" + "11ff");

        Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(packet, out Ipv6Packet view));
        Assert.Equal((IpProtocols.DestinationOptions, 48), (view.UpperProtocol, view.UpperOffset));
    }

    /// <summary>RFC 7112: a first fragment holds the whole chain, the upper-layer header included.</summary>
    [Theory]
    [InlineData("0600000100000007", 20, WireStatus.Ok)]
    [InlineData("0600000100000007", 19, WireStatus.Truncated)]
    [InlineData("0600000100000007", 0, WireStatus.Truncated)]
    [InlineData("1100000100000007", 8, WireStatus.Ok)]
    [InlineData("1100000100000007", 7, WireStatus.Truncated)]
    [InlineData("3a00000100000007", 7, WireStatus.Truncated)]
    [InlineData("3c00000100000007", 7, WireStatus.Truncated)]
    [InlineData("0600000000000007", 0, WireStatus.Ok)] // atomic: no other fragment, so the transport's parser says what is missing
    public void TryParse_FirstFragment_HoldsTheWholeChain(string fragmentHeader, int upperBytes, WireStatus expected) => Assert.Equal(
        expected,
        Ipv6Packet.TryParse(Packet(IpProtocols.Fragment, fragmentHeader + string.Concat(Enumerable.Repeat("00", upperBytes))), out _));

    private static byte[] Packet(byte nextHeader, string payload)
    {
        byte[] bytes = Convert.FromHexString(payload);
        byte[] packet = new byte[Ipv6Packet.HeaderLength];
        Ipv6Packet.WriteHeader(
            packet, new Ipv6Fields { PayloadLength = bytes.Length, NextHeader = nextHeader, HopLimit = 64, Source = 1, Destination = 2 });
        return [.. packet, .. bytes];
    }
}
