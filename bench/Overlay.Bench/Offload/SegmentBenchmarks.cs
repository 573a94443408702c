using BenchmarkDotNet.Attributes;
using Overlay.Bench.Inner;
using Overlay.Bench.Yardstick;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Bench.Offload;

/// <summary>The headers and finished checksums of a 64 KB TCP super-packet's segments, per segment, beside plain C in the same memory.</summary>
[MemoryDiagnoser]
public class SegmentBenchmarks
{
    private const int Segments = 44;
    private const int HeaderSlot = 128;

    private readonly PacketMemory _frame = new(FrameBatch.MaxFrameLength);
    private readonly PacketMemory _headers = new(Segments * HeaderSlot);
    private InnerPacket _packet;

    [ParamsAllValues]
    public bool Ipv6 { get; set; }

    /// <summary>Payload of each segment.</summary>
    [Params(1400)]
    public int Bytes { get; set; }

    /// <exception cref="InvalidOperationException">C and C# disagree.</exception>
    [GlobalSetup]
    public void Setup()
    {
        NativeYardstick.Build();
        InnerFrame frame = InnerFrames.Outgoing(Ipv6, udp: false, Segments * Bytes);
        new Random(1).NextBytes(frame.Payload);
        byte[] bytes = frame.Unfinished();
        bytes.CopyTo(_frame.Span(0, bytes.Length));
        InnerPacket.TryParse(bytes, out _packet);

        PlainC();
        byte[] expected = _headers.Span(0, _headers.Length).ToArray();
        Segment();
        if (!_headers.Span(0, _headers.Length).SequenceEqual(expected)) throw new InvalidOperationException("C and C# segment differently");
    }

    [Benchmark(Baseline = true, OperationsPerInvoke = Segments)]
    public int PlainC() => NativeYardstick.Segment(
        _frame.Address, _packet.NetworkOffset, _packet.TransportOffset, _packet.HeadersEnd, _packet.End, Bytes, _headers.Address, HeaderSlot);

    [Benchmark(OperationsPerInvoke = Segments)]
    public int Segment()
    {
        var super = new SuperPacket(_frame.Span(0, _packet.End), EthernetFrame.MinHeaderLength, _packet, Bytes);
        int segments = 0;
        for (int offset = 0; offset < super.PayloadLength; offset += Bytes, segments++)
        {
            int length = Math.Min(Bytes, super.PayloadLength - offset);
            Span<byte> headers = _headers.Span(segments * HeaderSlot, super.HeaderLength);
            super.WriteHeaders(headers, offset, length);
            super.FinishChecksum(headers, _frame.Span(_packet.HeadersEnd + offset, length));
        }
        return segments;
    }
}
