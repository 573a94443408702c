using Overlay.Wire;

namespace Overlay.Dataplane.Forwarding;

/// <summary>
/// The next hop that the kernel is told for every overlay route, the same on each node and segment: nobody else can take these addresses,
/// they never leave the device. What is sent to it is forwarded by inner destination.
/// </summary>
public static class RoutedGateway
{
    /// <summary>Link-local (RFC 3927): 169.254.77.1, host order.</summary>
    public const uint AddressV4 = 0xa9fe4d01;

    /// <summary>Link-local: fe80::4d01, host order.</summary>
    public static UInt128 AddressV6 => new(0xfe80_0000_0000_0000, 0x4d01);

    /// <summary>Locally administered.</summary>
    public static MacAddress Mac => new([0x02, 0x4d, 0x01, 0x00, 0x00, 0x01]);
}
