using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>
/// A VXLAN header (RFC 7348, 5). Views the caller's bytes and is valid as long as they are. Reserved bits are sent as zero and ignored
/// when received; a header without the I flag parses, but has no segment to belong to.
/// </summary>
public readonly ref struct VxlanHeader
{
    /// <summary>Bytes of the header; an Ethernet frame follows.</summary>
    public const int Length = 8;

    /// <summary>The port that IANA assigned.</summary>
    public const ushort DefaultPort = 4789;

    /// <summary>Largest VXLAN network identifier: 24 bits.</summary>
    public const uint MaxVni = 0xffffff;

    /// <summary>Bits of <see cref="GroupPolicy"/> that mean something: don't learn, policy applied and the group policy ID.</summary>
    public const uint GroupPolicyMask = DontLearn | 0x08_ffff;

    /// <summary>The D flag in <see cref="GroupPolicy"/>: the receiver must not learn the source of the frame.</summary>
    public const uint DontLearn = 0x40_0000;

    private const byte VniFlag = 0x08;
    private const byte GroupPolicyFlag = 0x80;

    private readonly ReadOnlySpan<byte> _header;

    private VxlanHeader(ReadOnlySpan<byte> header) => _header = header;

    public byte Flags => _header[0];

    /// <summary>The I flag: the network identifier is valid. Without it the datagram must be dropped.</summary>
    public bool HasVni => (Flags & VniFlag) != 0;

    /// <summary>The G flag of the Group-Based Policy extension (draft-smith-vxlan-group-policy, 2.1): its fields are in use.</summary>
    public bool HasGroupPolicy => (Flags & GroupPolicyFlag) != 0;

    /// <summary>Group policy ID of the sender; without <see cref="HasGroupPolicy"/> reserved bits.</summary>
    public ushort GroupPolicyId => BinaryPrimitives.ReadUInt16BigEndian(_header[2..]);

    /// <summary>
    /// Octets 1 to 3 of a header with <see cref="HasGroupPolicy"/>, reserved bits cleared: the flags D and A and the group policy ID, laid out as
    /// Linux keeps them in a packet's mark. Without it 0.
    /// </summary>
    public uint GroupPolicy => HasGroupPolicy ? BinaryPrimitives.ReadUInt32BigEndian(_header) & GroupPolicyMask : 0;

    /// <summary>VXLAN network identifier, 24 bits.</summary>
    public uint Vni => BinaryPrimitives.ReadUInt32BigEndian(_header[4..]) >> 8;

    /// <summary>The encapsulated Ethernet frame.</summary>
    public ReadOnlySpan<byte> Payload => _header[Length..];

    /// <param name="datagram">The UDP payload.</param>
    /// <param name="view">A view of all of it.</param>
    /// <returns><see cref="WireStatus.Truncated"/> below 8 bytes.</returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> datagram, out VxlanHeader view)
    {
        view = default;
        if (datagram.Length < Length) return WireStatus.Truncated;
        view = new VxlanHeader(datagram);
        return WireStatus.Ok;
    }

    /// <summary>Writes the 8 bytes of the header.</summary>
    /// <param name="datagram">At least 8 bytes.</param>
    /// <param name="vni">24 bits.</param>
    public static void Write(Span<byte> datagram, uint vni)
    {
        BinaryPrimitives.WriteUInt32BigEndian(datagram, (uint)VniFlag << 24);
        BinaryPrimitives.WriteUInt32BigEndian(datagram[4..], vni << 8);
    }

    /// <summary>Writes the 8 bytes of the header with the Group-Based Policy extension.</summary>
    /// <param name="datagram">At least 8 bytes.</param>
    /// <param name="vni">24 bits.</param>
    /// <param name="groupPolicy">As <see cref="GroupPolicy"/>; other bits than <see cref="GroupPolicyMask"/> are not written.</param>
    public static void Write(Span<byte> datagram, uint vni, uint groupPolicy)
    {
        WriteGroupPolicy(datagram, groupPolicy);
        BinaryPrimitives.WriteUInt32BigEndian(datagram[4..], vni << 8);
    }

    /// <summary>Gives a header the Group-Based Policy extension.</summary>
    /// <param name="datagram">At least the first 4 bytes of the header.</param>
    /// <param name="groupPolicy">As for <see cref="Write(Span{byte}, uint, uint)"/>.</param>
    public static void WriteGroupPolicy(Span<byte> datagram, uint groupPolicy) =>
        BinaryPrimitives.WriteUInt32BigEndian(datagram, (uint)(VniFlag | GroupPolicyFlag) << 24 | (groupPolicy & GroupPolicyMask));
}
