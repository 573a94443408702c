using System.Net;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Forwarding;

public sealed class UnderlayEndpointTests
{
    [Theory]
    [InlineData("192.0.2.1", 4789, "192.0.2.1:4789")]
    [InlineData("2001:db8::1", 4789, "[2001:db8::1]:4789")]
    [InlineData("192.0.2.1", 0, "192.0.2.1")]
    [InlineData("2001:db8::1", 0, "2001:db8::1")]
    public void ToString_WithAndWithoutPort_IsAsUsersWriteIt(string address, int port, string expected) =>
        Assert.Equal(expected, new UnderlayEndpoint(IpBits.V6OrMapped(IPAddress.Parse(address)), (ushort)port).ToString());
}
