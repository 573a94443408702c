using Overlay.Wire;

namespace Overlay.Dataplane.Tunnels;

/// <summary>Addresses that no packet that was sent over a network can come from (RFC 1812, 5.3.7; RFC 4213, 3.6; RFC 6890).</summary>
public static class Martians
{
    private const uint ThisNetwork = 0;
    private const uint Loopback = 127;

    /// <summary>Class D and E, limited broadcast included.</summary>
    private const uint FirstGroup = 224;

    /// <param name="source">Host-order bits; an IPv4 address is IPv4-mapped.</param>
    public static bool IsMartian(UInt128 source)
    {
        if (IpBits.IsMapped(source)) return (uint)source >> 24 is ThisNetwork or Loopback or >= FirstGroup;
        // Multicast; and ::/96, which holds the unspecified address, loopback, and the IPv4-compatible addresses that RFC 4291 gave up.
        return source >> 120 == 0xff || source >> 32 == 0;
    }
}
