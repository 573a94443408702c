using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>
/// An ARP packet for IPv4 over Ethernet (RFC 826), the only kind understood. Views the caller's bytes and is valid as long as they are.
/// </summary>
public readonly ref struct ArpPacket
{
    /// <summary>Bytes of the packet; what follows in the frame is padding.</summary>
    public const int Length = 28;

    private const ushort EthernetHardware = 1;

    private readonly ReadOnlySpan<byte> _packet;

    private ArpPacket(ReadOnlySpan<byte> packet) => _packet = packet;

    public ArpOperation Operation => (ArpOperation)BinaryPrimitives.ReadUInt16BigEndian(_packet[6..]);

    public MacAddress SenderMac => new(_packet[8..]);

    public uint SenderAddress => BinaryPrimitives.ReadUInt32BigEndian(_packet[14..]);

    /// <summary>Meaningless in a request.</summary>
    public MacAddress TargetMac => new(_packet[18..]);

    public uint TargetAddress => BinaryPrimitives.ReadUInt32BigEndian(_packet[24..]);

    /// <param name="packet">Begins with the ARP packet; may be longer.</param>
    /// <param name="view">Bounded by the packet's length.</param>
    /// <returns>
    /// <see cref="WireStatus.Truncated"/> below 28 bytes; <see cref="WireStatus.BadField"/> unless it speaks of IPv4 over Ethernet, with
    /// address lengths to match. Any operation is accepted.
    /// </returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> packet, out ArpPacket view)
    {
        view = default;
        if (packet.Length < Length) return WireStatus.Truncated;
        if (BinaryPrimitives.ReadUInt16BigEndian(packet) != EthernetHardware) return WireStatus.BadField;
        if (BinaryPrimitives.ReadUInt16BigEndian(packet[2..]) != EtherTypes.Ipv4) return WireStatus.BadField;
        if (packet[4] != MacAddress.Length || packet[5] != sizeof(uint)) return WireStatus.BadField;
        view = new ArpPacket(packet[..Length]);
        return WireStatus.Ok;
    }

    /// <summary>Writes all 28 bytes. Addresses in host order.</summary>
    public static void Write(
        Span<byte> packet, ArpOperation operation, MacAddress senderMac, uint senderAddress, MacAddress targetMac, uint targetAddress)
    {
        BinaryPrimitives.WriteUInt16BigEndian(packet, EthernetHardware);
        BinaryPrimitives.WriteUInt16BigEndian(packet[2..], EtherTypes.Ipv4);
        packet[4] = MacAddress.Length;
        packet[5] = sizeof(uint);
        BinaryPrimitives.WriteUInt16BigEndian(packet[6..], (ushort)operation);
        senderMac.CopyTo(packet[8..]);
        BinaryPrimitives.WriteUInt32BigEndian(packet[14..], senderAddress);
        targetMac.CopyTo(packet[18..]);
        BinaryPrimitives.WriteUInt32BigEndian(packet[24..], targetAddress);
    }
}
