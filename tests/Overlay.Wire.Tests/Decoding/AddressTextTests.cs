using System.Net;
using Overlay.Wire.Decoding;

namespace Overlay.Wire.Tests.Decoding;

public sealed class AddressTextTests
{
    [Theory]
    [InlineData("192.0.2.1", "192.0.2.1")]
    [InlineData("::", "::")]
    [InlineData("::1", "::1")]
    [InlineData("1::", "1::")]
    [InlineData("::ffff:192.0.2.1", "::ffff:192.0.2.1")]
    [InlineData("::192.0.2.1", "::192.0.2.1")]
    [InlineData("::ffff:0:192.0.2.1", "::ffff:0:c000:201")] // translated, RFC 6052's predecessor
    [InlineData("fe80::5efe:192.0.2.1", "fe80::5efe:c000:201")] // ISATAP
    [InlineData("fe80::200:5efe:192.0.2.1", "fe80::200:5efe:c000:201")]
    [InlineData("64:ff9b::192.0.2.33", "64:ff9b::c000:221")]
    [InlineData("2001:DB8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1")] // one zero group stays
    [InlineData("2001:0:0:1:0:0:0:1", "2001:0:0:1::1")] // the longest run
    [InlineData("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1")] // the first of equals
    [InlineData("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::")]
    public void Format_Address_IsAsInetNtopWritesIt(string address, string text) =>
        Assert.Equal(text, AddressText.Format(IPAddress.Parse(address)));
}
