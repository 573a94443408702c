namespace Overlay.Cli;

/// <summary>
/// Flushes a report before every read of its input, so that what came through a pipe is not kept back while the next of it is waited for.
/// </summary>
/// <param name="input">Stays the caller's to dispose.</param>
/// <param name="report">Of what was read so far.</param>
internal sealed class PromptInput(Stream input, IFrameReport report) : Stream
{
    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(Span<byte> buffer)
    {
        report.Flush();
        return input.Read(buffer);
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Flush() => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
