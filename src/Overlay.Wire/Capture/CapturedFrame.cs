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

    /// <summary>The captured bytes, at most <see cref="CaptureReader.MaxFrameBytes"/> of them.</summary>
    public ReadOnlySpan<byte> Data { get; }
}
