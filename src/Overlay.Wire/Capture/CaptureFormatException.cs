namespace Overlay.Wire.Capture;

/// <summary>A capture file ends too early or breaks its format; the message says what and at which byte of the file.</summary>
public sealed class CaptureFormatException(string message) : Exception(message);
