using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.Cli;

/// <summary>Prints decoded frames in order. Buffers; disposing flushes.</summary>
internal interface IFrameReport : IDisposable
{
    /// <param name="number">Place in the file, from 1.</param>
    /// <param name="frame">What was captured.</param>
    /// <param name="decoded">What was read in it.</param>
    void Write(long number, CapturedFrame frame, DecodedFrame decoded);

    void Flush();
}
