using System.Net;

namespace Overlay.Wire.Tests;

public sealed class AddressTests
{
    [Theory]
    [InlineData("02:00:5e:10:00:ff", true)]
    [InlineData("02:00:5E:10:00:FF", true)]
    [InlineData("", false)]
    [InlineData("02:00:5e:10:00", false)]
    [InlineData("02-00-5e-10-00-ff", false)]
    [InlineData("02:00:5e:10:00:fg", false)]
    [InlineData("02:00:5e:10:00:ff:", false)]
    [InlineData("02:00:5e:10:00: f", false)]
    public void MacTryParse_Text_IsAcceptedOrNot(string text, bool expected)
    {
        Assert.Equal(expected, MacAddress.TryParse(text, out MacAddress address));
        if (expected) Assert.Equal(text.ToUpperInvariant(), address.ToString().ToUpperInvariant());
    }

    [Fact]
    public void MacIsGroup_MulticastBit_Decides()
    {
        Assert.True(MacAddress.Broadcast.IsGroup);
        Assert.True(new MacAddress([0x33, 0x33, 0, 0, 0, 1]).IsGroup);
        Assert.False(new MacAddress([0x02, 0xff, 0xff, 0xff, 0xff, 0xff]).IsGroup);
    }

    [Theory]
    [InlineData("10.244.1.3", true)]
    [InlineData("255.255.255.255", true)]
    [InlineData("::", false)]
    [InlineData("fd00:244:1::3", false)]
    public void IpBits_OfAnAddress_LeadBackToIt(string text, bool isMapped)
    {
        UInt128 bits = IpBits.V6OrMapped(IPAddress.Parse(text));

        Assert.Equal(isMapped, IpBits.IsMapped(bits));
        Assert.Equal(text, IpBits.ToAddress(bits).ToString());
    }

    [Fact]
    public void IpBitsV4_OfAnIpv6Address_Throws() => Assert.Throws<ArgumentException>(() => IpBits.V4(IPAddress.IPv6Loopback));
}
