namespace Overlay.Wire.Capture;

/// <summary>The classic format, version 2 (draft-ietf-opsawg-pcap): a file header, then records of one link type.</summary>
internal sealed class PcapReader : CaptureReader
{
    private const uint MicrosecondMagic = 0xa1b2c3d4;
    private const uint NanosecondMagic = 0xa1b23c4d;
    private const int HeaderLengthAfterMagic = 20;
    private const int RecordHeaderLength = 16;

    /// <summary>The link type shares its field with reserved bits and the length of a frame check sequence.</summary>
    private const uint LinkTypeMask = 0xffff;

    private readonly int _linkType;

    /// <param name="input">Stands behind the magic number, its byte order set.</param>
    public PcapReader(CaptureInput input)
        : base(input)
    {
        Span<byte> header = stackalloc byte[HeaderLengthAfterMagic];
        input.Read(header, "the pcap file header");
        int major = input.UInt16(header);
        if (major != 2) throw new CaptureFormatException($"pcap version {major}.{input.UInt16(header[2..])} is not 2.x");
        _linkType = (int)(input.UInt32(header[16..]) & LinkTypeMask);
    }

    /// <param name="number">The first four bytes, in the byte order to be tried.</param>
    public static bool IsMagic(uint number) => number is MicrosecondMagic or NanosecondMagic;

    public override bool TryRead(out CapturedFrame frame)
    {
        frame = default;
        Span<byte> record = stackalloc byte[RecordHeaderLength];
        if (!Input.TryRead(record, "a record header")) return false;
        uint captured = Input.UInt32(record[8..]);
        uint original = Input.UInt32(record[12..]);
        frame = new CapturedFrame(_linkType, original, captured, ReadFrameData(captured));
        return true;
    }
}
