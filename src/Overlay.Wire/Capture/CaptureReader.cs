using System.Buffers.Binary;

namespace Overlay.Wire.Capture;

/// <summary>
/// Reads the frames of a capture file in order: classic pcap and pcapng, both in either byte order. Timestamps are not interpreted, so
/// the resolution of a file makes no difference. Reads forward only, in constant memory, and each call consumes bytes of the file or ends.
/// </summary>
public abstract class CaptureReader
{
    /// <summary>
    /// Bytes kept of a frame, more than any IP packet with its link header; what a file holds beyond is read over.
    /// </summary>
    public const int MaxFrameBytes = 128 * 1024;

    /// <summary>The link type of Ethernet without a frame check sequence (LINKTYPE_ETHERNET).</summary>
    public const int EthernetLinkType = 1;

    private readonly byte[] _frame = new byte[MaxFrameBytes];

    private protected CaptureReader(CaptureInput input) => Input = input;

    private protected CaptureInput Input { get; }

    /// <summary>Begins a file; its first bytes tell the format.</summary>
    /// <param name="stream">Stays the caller's to dispose. Need not be seekable.</param>
    /// <exception cref="CaptureFormatException">The file is neither format, or its header is unsound.</exception>
    public static CaptureReader Open(Stream stream)
    {
        var input = new CaptureInput(stream);
        Span<byte> magic = stackalloc byte[4];
        input.Read(magic, "the file's magic number");
        uint number = BinaryPrimitives.ReadUInt32BigEndian(magic);
        if (number == PcapngReader.SectionHeaderBlock) return new PcapngReader(input);
        input.IsLittleEndian = PcapReader.IsMagic(BinaryPrimitives.ReverseEndianness(number));
        if (!input.IsLittleEndian && !PcapReader.IsMagic(number))
            throw new CaptureFormatException($"magic number 0x{number:x8} is that of neither pcap nor pcapng");
        return new PcapReader(input);
    }

    /// <summary>Reads the next frame.</summary>
    /// <param name="frame">Valid until the next call.</param>
    /// <returns>False at the end of a file that ends where a frame or block does.</returns>
    /// <exception cref="CaptureFormatException">The file ends elsewhere or breaks its format; no frame follows.</exception>
    public abstract bool TryRead(out CapturedFrame frame);

    private protected ReadOnlySpan<byte> ReadFrameData(uint capturedLength)
    {
        Span<byte> data = _frame.AsSpan(0, (int)Math.Min(capturedLength, MaxFrameBytes));
        Input.Read(data, "a frame");
        Input.Skip(capturedLength - data.Length, "a frame");
        return data;
    }
}
