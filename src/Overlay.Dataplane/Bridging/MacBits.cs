using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Overlay.Wire;

namespace Overlay.Dataplane.Bridging;

/// <summary>MAC addresses as the lower 48 bits of a word, the first octet uppermost.</summary>
public static class MacBits
{
    private const ulong Group = 1UL << 40;
    private const ulong Reserved = 0x0180_c200_0000;
    private const ulong Pause = Reserved | 1;

    /// <summary>The destination of an Ethernet frame.</summary>
    /// <param name="frame">At least 14 bytes.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Destination(ReadOnlySpan<byte> frame) => BinaryPrimitives.ReadUInt64BigEndian(frame) >> 16;

    /// <summary>The source of an Ethernet frame.</summary>
    /// <param name="frame">At least 14 bytes.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Source(ReadOnlySpan<byte> frame) => BinaryPrimitives.ReadUInt64BigEndian(frame[MacAddress.Length..]) >> 16;

    public static ulong Of(MacAddress mac)
    {
        Span<byte> octets = stackalloc byte[sizeof(ulong)];
        mac.CopyTo(octets);
        return BinaryPrimitives.ReadUInt64BigEndian(octets) >> 16;
    }

    public static MacAddress ToAddress(ulong bits)
    {
        Span<byte> octets = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(octets, bits << 16);
        return new MacAddress(octets);
    }

    /// <summary>True for multicast and broadcast.</summary>
    public static bool IsGroup(ulong bits) => (bits & Group) != 0;

    /// <summary>True for the sixteen groups that no bridge relays: STP, LACP, LLDP and the like (IEEE 802.1Q, 8.6.3).</summary>
    public static bool IsReserved(ulong bits) => (bits & ~0xfUL) == Reserved;

    /// <summary>True for the group of MAC PAUSE frames, which are about a wire (IEEE 802.3, 31B).</summary>
    public static bool IsPause(ulong bits) => bits == Pause;

    /// <summary>True for the address of one host: neither a group's nor zero.</summary>
    public static bool IsHost(ulong bits) => !IsGroup(bits) && bits != 0;
}
