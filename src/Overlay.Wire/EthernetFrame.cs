using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>
/// An Ethernet II frame without preamble and frame check sequence, with up to two VLAN tags (IEEE 802.3, 3.2; IEEE 802.1Q, 9).
/// Views the caller's bytes and is valid as long as they are.
/// </summary>
public readonly ref struct EthernetFrame
{
    /// <summary>Bytes of an untagged header.</summary>
    public const int MinHeaderLength = 14;

    /// <summary>Tags a header may carry: a service and a customer tag. A third one is left to be the EtherType of the payload.</summary>
    public const int MaxVlanTags = 2;

    private readonly ReadOnlySpan<byte> _frame;

    private EthernetFrame(ReadOnlySpan<byte> frame, int vlanTagCount)
    {
        _frame = frame;
        VlanTagCount = vlanTagCount;
    }

    public MacAddress Destination => new(_frame);

    public MacAddress Source => new(_frame[MacAddress.Length..]);

    public int VlanTagCount { get; }

    /// <summary>The first tag; default, with protocol zero, in an untagged frame.</summary>
    public VlanTag OuterTag => VlanTagCount > 0 ? Tag(12) : default;

    /// <summary>The second tag; default, with protocol zero, unless there are two.</summary>
    public VlanTag InnerTag => VlanTagCount > 1 ? Tag(16) : default;

    /// <summary>The EtherType behind all tags; below 1536 it is the length of an IEEE 802.3 frame.</summary>
    public ushort EtherType => BinaryPrimitives.ReadUInt16BigEndian(_frame[(HeaderLength - 2)..]);

    /// <summary>Bytes before the payload: 14, and 4 for each tag.</summary>
    public int HeaderLength => MinHeaderLength + (VlanTagCount * VlanTag.Length);

    /// <summary>What follows the header, including padding to the minimum frame size if there is any.</summary>
    public ReadOnlySpan<byte> Payload => _frame[HeaderLength..];

    /// <returns><see cref="WireStatus.Truncated"/> if the header is incomplete.</returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> frame, out EthernetFrame view)
    {
        view = default;
        if (frame.Length < MinHeaderLength) return WireStatus.Truncated;
        int tags = 0;
        while (tags < MaxVlanTags && IsTagProtocol(BinaryPrimitives.ReadUInt16BigEndian(frame[(12 + (tags * VlanTag.Length))..])))
        {
            tags++;
            if (frame.Length < MinHeaderLength + (tags * VlanTag.Length)) return WireStatus.Truncated;
        }
        view = new EthernetFrame(frame, tags);
        return WireStatus.Ok;
    }

    /// <summary>Writes the 14 bytes of an untagged header.</summary>
    public static void WriteHeader(Span<byte> frame, MacAddress destination, MacAddress source, ushort etherType) =>
        WriteHeader(frame, destination, source, [], etherType);

    /// <summary>Writes a header with its tags, outermost first.</summary>
    /// <returns>Bytes written.</returns>
    public static int WriteHeader(Span<byte> frame, MacAddress destination, MacAddress source, ReadOnlySpan<VlanTag> tags, ushort etherType)
    {
        destination.CopyTo(frame);
        source.CopyTo(frame[MacAddress.Length..]);
        int offset = 12;
        foreach (VlanTag tag in tags)
        {
            BinaryPrimitives.WriteUInt16BigEndian(frame[offset..], tag.Protocol);
            BinaryPrimitives.WriteUInt16BigEndian(frame[(offset + 2)..], tag.Control);
            offset += VlanTag.Length;
        }
        BinaryPrimitives.WriteUInt16BigEndian(frame[offset..], etherType);
        return offset + 2;
    }

    private static bool IsTagProtocol(ushort etherType) => etherType is EtherTypes.Vlan or EtherTypes.ProviderVlan;

    private VlanTag Tag(int offset) =>
        new(BinaryPrimitives.ReadUInt16BigEndian(_frame[offset..]), BinaryPrimitives.ReadUInt16BigEndian(_frame[(offset + 2)..]));
}
