using Overlay.Wire;

namespace Overlay.Dataplane.Tunnels;

/// <summary>Addresses that no packet that was sent over a network can come from (RFC 1812, 5.3.7; RFC 4213, 3.6; RFC 6890).</summary>
public static class Martians
{
    private const uint ThisNetwork = 0;
    private const uint Loopback = 127;

    /// <summary>Class D and E, limited broadcast included.</summary>
    private const uint FirstGroup = 224;

    private const uint SixToFourPrefix = 0x2002;
    private const uint IsatapIdentifier = 0x0000_5efe;
    private const uint IsatapUniversalBit = 0x0200_0000;

    /// <param name="source">Host-order bits; an IPv4 address is IPv4-mapped.</param>
    public static bool IsMartian(UInt128 source)
    {
        if (IpBits.IsMapped(source)) return IsMartianV4((uint)source);
        // Multicast; and ::/96, which holds the unspecified address, loopback, and the IPv4-compatible addresses that RFC 4291 gave up.
        if (source >> 120 == 0xff || source >> 32 == 0) return true;
        if (!TryGetEmbedded(source, out uint embedded)) return false;
        return IsMartianV4(embedded) || (IsSixToFour(source) && IsLocalV4(embedded));
    }

    /// <summary>
    /// The IPv4 address in a 6to4 (RFC 3056) or ISATAP (RFC 5214) address: to which automatic tunnels send what is for it, so that with a
    /// tunnel's end in it packets could run in a loop (RFC 6324).
    /// </summary>
    /// <param name="address">Host-order bits, not IPv4-mapped.</param>
    /// <param name="embedded">Host order; 0 where there is none.</param>
    public static bool TryGetEmbedded(UInt128 address, out uint embedded)
    {
        embedded = 0;
        if (IsSixToFour(address)) embedded = (uint)(address >> 80);
        else if (((uint)(address >> 32) & ~IsatapUniversalBit) == IsatapIdentifier) embedded = (uint)address;
        else return false;
        return true;
    }

    private static bool IsSixToFour(UInt128 address) => address >> 112 == SixToFourPrefix;

    private static bool IsMartianV4(uint source) => source >> 24 is ThisNetwork or Loopback or >= FirstGroup;

    /// <summary>Private (RFC 1918) and link-local (RFC 3927), which 6to4 must not have (RFC 3056, 9).</summary>
    private static bool IsLocalV4(uint address) => address >> 24 == 10 || address >> 20 == 0xac1 || address >> 16 is 0xc0a8 or 0xa9fe;
}
