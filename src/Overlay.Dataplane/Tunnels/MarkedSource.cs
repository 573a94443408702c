using System.Buffers.Binary;
using Overlay.Wire;

namespace Overlay.Dataplane.Tunnels;

/// <summary>
/// Carries the mark of a packet (skb->mark) between the kernel and us, where a device has no field for it: in the source MAC of the frame, which
/// means nothing on a routed segment's own device. A rule of the kernel's reads or writes it there.
/// </summary>
public static class MarkedSource
{
    /// <summary>Where the source MAC is in a frame.</summary>
    public const int Offset = MacAddress.Length;

    /// <summary>Where the mark's 24 bits are, in network byte order.</summary>
    public const int MarkOffset = Offset + 3;

    private static readonly byte[] PrefixOctets = [0x02, 0x47, 0x50];

    /// <summary>First octets of a source MAC that holds a mark; locally administered.</summary>
    public static ReadOnlySpan<byte> Prefix => PrefixOctets;

    /// <summary>Puts a mark into a frame.</summary>
    /// <param name="frame">At least its Ethernet header.</param>
    /// <param name="mark">24 bits.</param>
    public static void Write(Span<byte> frame, uint mark)
    {
        // In this order the octet too many is overwritten.
        BinaryPrimitives.WriteUInt32BigEndian(frame[(MarkOffset - 1)..], mark);
        PrefixOctets.CopyTo(frame[Offset..]);
    }

    /// <summary>The mark in a frame; 0 where it has none.</summary>
    /// <param name="frame">At least its Ethernet header.</param>
    public static uint Read(ReadOnlySpan<byte> frame) =>
        frame.Slice(Offset, PrefixOctets.Length).SequenceEqual(PrefixOctets) ? BinaryPrimitives.ReadUInt32BigEndian(frame[(MarkOffset - 1)..]) & 0xff_ffff : 0;
}
