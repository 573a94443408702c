using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Overlay.Wire;

/// <summary>
/// IP addresses as numbers. Configuration speaks <see cref="IPAddress"/>; the packet path speaks host-order bits: 32 for IPv4,
/// 128 for IPv6, and 128 with the IPv4-mapped prefix ::ffff:0:0/96 (RFC 4291, 2.5.5.2) where one key serves both families.
/// </summary>
public static class IpBits
{
    private static readonly UInt128 MappedPrefix = (UInt128)0xffff << 32;

    /// <summary>Host-order bits of an IPv4 address.</summary>
    public static uint V4(IPAddress address)
    {
        Span<byte> octets = stackalloc byte[4];
        if (address.AddressFamily != AddressFamily.InterNetwork || !address.TryWriteBytes(octets, out _))
            throw new ArgumentException($"{address} is not an IPv4 address", nameof(address));
        return BinaryPrimitives.ReadUInt32BigEndian(octets);
    }

    /// <summary>Host-order bits of an IPv6 address, or of an IPv4 address mapped into IPv6.</summary>
    public static UInt128 V6OrMapped(IPAddress address)
    {
        if (address.AddressFamily == AddressFamily.InterNetwork) return Mapped(V4(address));
        Span<byte> octets = stackalloc byte[16];
        address.TryWriteBytes(octets, out _);
        return BinaryPrimitives.ReadUInt128BigEndian(octets);
    }

    public static UInt128 Mapped(uint v4) => MappedPrefix | v4;

    public static bool IsMapped(UInt128 bits) => bits >> 32 == 0xffff;

    /// <summary>The address that <see cref="V6OrMapped"/> was given.</summary>
    public static IPAddress ToAddress(UInt128 bits)
    {
        Span<byte> octets = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(octets, bits);
        return IsMapped(bits) ? new IPAddress(octets[12..]) : new IPAddress(octets);
    }
}
