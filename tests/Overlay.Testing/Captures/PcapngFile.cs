namespace Overlay.Testing.Captures;

/// <summary>Writes pcapng files block by block, sound ones and others.</summary>
public sealed class PcapngFile
{
    private readonly List<byte> _bytes = [];
    private bool _isBigEndian;

    public byte[] ToArray() => [.. _bytes];

    public PcapngFile Section(bool isBigEndian = false, int major = 1)
    {
        _isBigEndian = isBigEndian;
        byte[] comment = Numbers().UInt16(1).UInt16(5).Bytes("hello"u8).PadTo4().UInt32(0).ToArray();
        return Block(0x0a0d0d0a, Numbers().UInt32(0x1a2b3c4d).UInt16(major).UInt16(0).UInt32(-1).UInt32(-1).Bytes(comment).ToArray());
    }

    public PcapngFile Interface(int linkType = PcapFile.EthernetLinkType, long snapLength = 0) =>
        Block(1, Numbers().UInt16(linkType).UInt16(0).UInt32(snapLength).ToArray());

    public PcapngFile Enhanced(int interfaceNumber, CaptureRecord record) => Block(
        6,
        Numbers().UInt32(interfaceNumber).UInt32(0x60000).UInt32(12345).UInt32(record.Data.Length).UInt32(record.Length)
            .Bytes(record.Data).PadTo4().UInt16(2).UInt16(4).UInt32(0).UInt32(0).ToArray());

    public PcapngFile Obsolete(int interfaceNumber, CaptureRecord record) => Block(
        2,
        Numbers().UInt16(interfaceNumber).UInt16(7).UInt32(0x60000).UInt32(12345).UInt32(record.Data.Length).UInt32(record.Length)
            .Bytes(record.Data).PadTo4().ToArray());

    public PcapngFile Simple(CaptureRecord record) => Block(3, Numbers().UInt32(record.Length).Bytes(record.Data).PadTo4().ToArray());

    /// <param name="type">Of the block.</param>
    /// <param name="body">A multiple of four bytes in a sound block.</param>
    /// <param name="length">Written before the body instead of the true length.</param>
    /// <param name="repeated">Written behind the body instead of the true length.</param>
    public PcapngFile Block(uint type, byte[] body, long? length = null, long? repeated = null)
    {
        int total = body.Length + 12;
        _bytes.AddRange(Numbers().UInt32(type).UInt32(length ?? total).Bytes(body).UInt32(repeated ?? total).ToArray());
        return this;
    }

    private NumberWriter Numbers() => new(_isBigEndian);
}
