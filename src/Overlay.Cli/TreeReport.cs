using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.Cli;

/// <summary>A line a frame, and under it a line a header.</summary>
internal sealed class TreeReport(Stream output) : IFrameReport
{
    private readonly StreamWriter _output = new(output, leaveOpen: true);

    public void Write(long number, CapturedFrame frame, DecodedFrame decoded)
    {
        string cut = frame.CapturedLength < frame.Length ? $", {frame.CapturedLength} captured" : "";
        _output.WriteLine($"frame {number}: {frame.Length} bytes{cut}");
        if (decoded.Tunnel == TunnelKind.None) _output.WriteLine("  no tunnel");
        else TunnelTree.Write(decoded, _output, "  ");
        if (decoded.Error is not null) _output.WriteLine($"  error: {decoded.Error}");
    }

    public void Flush() => _output.Flush();

    public void Dispose() => _output.Dispose();
}
