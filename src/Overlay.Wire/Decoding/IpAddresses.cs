using System.Net;

namespace Overlay.Wire.Decoding;

/// <summary>Addresses of IP headers that may be unsound otherwise.</summary>
internal static class IpAddresses
{
    /// <param name="header">The fixed header, at least.</param>
    /// <param name="isIpv6">The header's version.</param>
    public static (IPAddress Source, IPAddress Destination) Read(ReadOnlySpan<byte> header, bool isIpv6) => isIpv6
        ? (new IPAddress(header.Slice(8, 16)), new IPAddress(header.Slice(24, 16)))
        : (new IPAddress(header.Slice(12, 4)), new IPAddress(header.Slice(16, 4)));
}
