namespace Overlay.Wire.Capture;

/// <summary>One frame of a capture file. Views the reader's buffer: valid until the next one is read.</summary>
public readonly ref struct CapturedFrame
{
    internal CapturedFrame(int linkType, long originalLength, long capturedLength, ReadOnlySpan<byte> data)
    {
        LinkType = linkType;
        Length = Math.Max(originalLength, capturedLength);
        CapturedLength = capturedLength;
        Data = data;
    }

    /// <summary>A whole Ethernet frame that comes from elsewhere than a file.</summary>
    public static CapturedFrame Ethernet(ReadOnlySpan<byte> frame) => new(CaptureReader.EthernetLinkType, frame.Length, frame.Length, frame);

    /// <summary>Link-layer type of the interface, a LINKTYPE_ value of the pcap formats.</summary>
    public int LinkType { get; }

    /// <summary>Bytes of the frame on the wire. A file that states fewer than it holds is taken at what it holds.</summary>
    public long Length { get; }

    /// <summary>Bytes that the file holds; fewer than <see cref="Length"/> when the capture cut the frame.</summary>
    public long CapturedLength { get; }

    /// <summary>Number of the interface in its section; 0 in classic pcap.</summary>
    public int InterfaceNumber { get; internal init; }

    /// <summary>Since 1970-01-01 UTC; null where the file does not say, or not in a resolution that is understood.</summary>
    public TimeSpan? Time { get; internal init; }

    public CaptureDirection Direction { get; internal init; }

    /// <summary>Null: there is none.</summary>
    public string? Comment { get; internal init; }

    /// <summary>The captured bytes, at most <see cref="CaptureReader.MaxFrameBytes"/> of them.</summary>
    public ReadOnlySpan<byte> Data { get; }
}
