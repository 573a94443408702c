namespace Overlay.Testing.Captures;

/// <summary>A frame to be put into a capture file.</summary>
/// <param name="Data">What was captured.</param>
/// <param name="Length">Bytes of the frame on the wire.</param>
public sealed record CaptureRecord(byte[] Data, long Length)
{
    public CaptureRecord(byte[] data)
        : this(data, data.Length)
    {
    }

    /// <summary>The frame as a capture with a snapshot length leaves it.</summary>
    public CaptureRecord CutTo(int bytes) => this with { Data = Data[..bytes] };
}
