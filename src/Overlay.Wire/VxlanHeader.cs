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
    /// <param name="groupPolicyId">Of the sender.</param>
    public static void Write(Span<byte> datagram, uint vni, ushort groupPolicyId)
    {
        BinaryPrimitives.WriteUInt32BigEndian(datagram, (uint)(VniFlag | GroupPolicyFlag) << 24 | groupPolicyId);
        BinaryPrimitives.WriteUInt32BigEndian(datagram[4..], vni << 8);
    }
}
