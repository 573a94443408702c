using Overlay.Testing.Captures;
using Overlay.Wire.Capture;

namespace Overlay.Wire.Tests.Capture;

/// <summary>A frame as a reader gave it, copied out of the reader's buffer.</summary>
internal sealed record ReadFrame(int LinkType, long Length, long CapturedLength, string Data)
{
    public static ReadFrame Of(CaptureRecord record, int linkType = PcapFile.EthernetLinkType) =>
        new(linkType, record.Length, record.Data.Length, Convert.ToHexStringLower(record.Data));
}

internal static class Captures
{
    /// <summary>Reads a file to its end, in small pieces as a pipe would give them.</summary>
    public static List<ReadFrame> Read(byte[] file) => Read(file, out string? error) is { } frames && error is null
        ? frames
        : throw new CaptureFormatException(error!);

    /// <param name="file">Its bytes.</param>
    /// <param name="error">What ended the reading; null at a sound end.</param>
    /// <returns>The frames before.</returns>
    public static List<ReadFrame> Read(byte[] file, out string? error)
    {
        var frames = new List<ReadFrame>();
        try
        {
            var reader = CaptureReader.Open(new PipeStream(file));
            while (reader.TryRead(out CapturedFrame frame))
                frames.Add(new ReadFrame(frame.LinkType, frame.Length, frame.CapturedLength, Convert.ToHexStringLower(frame.Data)));
            error = null;
        }
        catch (CaptureFormatException exception)
        {
            error = exception.Message;
        }
        return frames;
    }

    /// <summary>Not seekable, and gives at most seven bytes a read.</summary>
    private sealed class PipeStream(byte[] bytes) : Stream
    {
        private int _position;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override int Read(Span<byte> buffer)
        {
            ReadOnlySpan<byte> piece = bytes.AsSpan(_position, Math.Min(Math.Min(buffer.Length, 7), bytes.Length - _position));
            piece.CopyTo(buffer);
            _position += piece.Length;
            return piece.Length;
        }

        public override void Flush() => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
