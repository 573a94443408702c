using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using Google.Protobuf;

namespace Overlay.Rpc.Grpc;

/// <summary>Messages in a stream: one byte that says whether it is compressed, four of length, the message.</summary>
internal static class GrpcFrames
{
    public const int PrefixBytes = 5;

    /// <exception cref="GrpcException">RESOURCE_EXHAUSTED: the message is larger than <paramref name="maxBytes"/>.</exception>
    public static void Write(IBufferWriter<byte> output, IMessage message, int maxBytes)
    {
        int length = message.CalculateSize();
        CheckLength(length, maxBytes);
        Span<byte> prefix = output.GetSpan(PrefixBytes);
        prefix[0] = 0;
        BinaryPrimitives.WriteInt32BigEndian(prefix[1..], length);
        output.Advance(PrefixBytes);
        message.WriteTo(output);
    }

    /// <exception cref="GrpcException">RESOURCE_EXHAUSTED: the message is larger than <paramref name="maxBytes"/>.</exception>
    public static void CheckLength(int length, int maxBytes)
    {
        if (length > maxBytes)
        {
            throw new GrpcException(
                GrpcStatusCode.ResourceExhausted, $"message of {length} bytes is larger than the {maxBytes} that may be sent");
        }
    }

    /// <summary>Reads the next message; null at the end of the stream.</summary>
    /// <exception cref="GrpcException">
    /// RESOURCE_EXHAUSTED: larger than <paramref name="maxBytes"/>; UNIMPLEMENTED or INTERNAL: compressed; INTERNAL: cut off or no such message.
    /// </exception>
    public static async ValueTask<T?> ReadAsync<T>(
        PipeReader input, MessageParser<T> parser, string? encoding, int maxBytes, CancellationToken cancellation)
        where T : class, IMessage<T>
    {
        while (true)
        {
            ReadResult read = await input.ReadAsync(cancellation).ConfigureAwait(false);
            ReadOnlySequence<byte> buffer = read.Buffer;
            if (TryParsePrefix(buffer, encoding, maxBytes, out int length) && buffer.Length - PrefixBytes >= length)
            {
                ReadOnlySequence<byte> body = buffer.Slice(PrefixBytes, length);
                T message = Parse(parser, body);
                input.AdvanceTo(body.End);
                return message;
            }
            if (read.IsCompleted)
            {
                bool atEnd = buffer.IsEmpty;
                input.AdvanceTo(buffer.Start);
                return atEnd ? null : throw new GrpcException(GrpcStatusCode.Internal, "the stream ended within a message");
            }
            input.AdvanceTo(buffer.Start, buffer.End);
        }
    }

    private static bool TryParsePrefix(ReadOnlySequence<byte> buffer, string? encoding, int maxBytes, out int length)
    {
        length = 0;
        if (buffer.Length < PrefixBytes) return false;
        Span<byte> prefix = stackalloc byte[PrefixBytes];
        buffer.Slice(0, PrefixBytes).CopyTo(prefix);
        if (prefix[0] != 0)
        {
            throw encoding is null or GrpcHeaders.Identity
                ? new GrpcException(GrpcStatusCode.Internal, $"message with compression flag {prefix[0]}, but no {GrpcHeaders.Encoding}")
                : new GrpcException(GrpcStatusCode.Unimplemented, $"compression '{encoding}' is not offered");
        }
        uint claimed = BinaryPrimitives.ReadUInt32BigEndian(prefix[1..]);
        if (claimed > (uint)maxBytes)
        {
            throw new GrpcException(
                GrpcStatusCode.ResourceExhausted, $"message of {claimed} bytes is larger than the {maxBytes} that are received");
        }
        length = (int)claimed;
        return true;
    }

    private static T Parse<T>(MessageParser<T> parser, ReadOnlySequence<byte> body)
        where T : class, IMessage<T>
    {
        try
        {
            return parser.ParseFrom(body);
        }
        catch (InvalidProtocolBufferException exception)
        {
            throw new GrpcException(GrpcStatusCode.Internal, $"the bytes received are no {typeof(T).Name}: {exception.Message}", exception);
        }
    }
}
