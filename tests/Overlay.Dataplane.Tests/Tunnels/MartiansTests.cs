using System.Net;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Tunnels;

public sealed class MartiansTests
{
    [Theory]
    [InlineData("0.0.0.0", true)]
    [InlineData("127.1.2.3", true)]
    [InlineData("224.0.0.1", true)]
    [InlineData("240.0.0.1", true)]
    [InlineData("255.255.255.255", true)]
    [InlineData("10.0.0.1", false)]
    [InlineData("169.254.1.1", false)]
    [InlineData("::", true)]
    [InlineData("::1", true)]
    [InlineData("::192.0.2.1", true)]
    [InlineData("ff02::1", true)]
    [InlineData("fe80::1", false)]
    [InlineData("fd00::1", false)]
    [InlineData("2002:808:808::1", false)]
    [InlineData("2002:a01:203::1", true)]
    [InlineData("2002:ac1f:ffff::1", true)]
    [InlineData("2002:ac20:1::1", false)]
    [InlineData("2002:c0a8:101::1", true)]
    [InlineData("2002:a9fe:101::1", true)]
    [InlineData("2002:7f00:1::1", true)]
    [InlineData("2002:e000:1::1", true)]
    [InlineData("2001:db8::5efe:10.0.0.1", false)]
    [InlineData("2001:db8::200:5efe:127.0.0.1", true)]
    [InlineData("fe80::5efe:224.0.0.1", true)]
    public void IsMartian_Source_IsWhatTheRfcsExclude(string source, bool expected) =>
        Assert.Equal(expected, Martians.IsMartian(IpBits.V6OrMapped(IPAddress.Parse(source))));

    [Theory]
    [InlineData("2002:c000:201:5::1", "192.0.2.1")]
    [InlineData("2001:db8::5efe:192.0.2.1", "192.0.2.1")]
    [InlineData("2001:db8::200:5efe:192.0.2.1", "192.0.2.1")]
    [InlineData("2001:db8::100:5efe:192.0.2.1", null)]
    [InlineData("2001:db8::1", null)]
    public void TryGetEmbedded_Address_FindsThatOf6To4AndIsatap(string address, string? expected)
    {
        bool found = Martians.TryGetEmbedded(IpBits.V6OrMapped(IPAddress.Parse(address)), out uint embedded);
        Assert.Equal(expected, found ? IpBits.ToAddress(IpBits.Mapped(embedded)).ToString() : null);
    }
}
