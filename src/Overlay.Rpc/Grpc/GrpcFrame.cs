using System.Buffers.Binary;
using Google.Protobuf;

namespace Overlay.Rpc.Grpc;

/// <summary>A message as it goes over the wire, encoded once for any number of streams. Immutable.</summary>
public sealed class GrpcFrame<TMessage>
    where TMessage : class, IMessage<TMessage>
{
    private readonly byte[] _bytes;

    /// <param name="message">Is not kept.</param>
    public GrpcFrame(TMessage message)
    {
        int length = message.CalculateSize();
        _bytes = new byte[GrpcFrames.PrefixBytes + length];
        BinaryPrimitives.WriteInt32BigEndian(_bytes.AsSpan(1), length);
        message.WriteTo(_bytes.AsSpan(GrpcFrames.PrefixBytes));
    }

    /// <summary>Bytes of the message, without its prefix.</summary>
    public int Length => _bytes.Length - GrpcFrames.PrefixBytes;

    /// <summary>The message with its prefix.</summary>
    internal ReadOnlyMemory<byte> Bytes => _bytes;

    /// <summary>The message anew.</summary>
    public TMessage Decode(MessageParser<TMessage> parser) => parser.ParseFrom(_bytes, GrpcFrames.PrefixBytes, Length);
}
