using BenchmarkDotNet.Attributes;
using Overlay.Bench.Yardstick;
using Overlay.Dataplane.Buffers;
using Overlay.Wire;

namespace Overlay.Bench.Wire;

/// <summary>The Internet checksum of a header, of packets and of a super-packet, in first-level or second-level cache; beside plain C.</summary>
[MemoryDiagnoser]
public class ChecksumBenchmarks
{
    private const int Operations = 100;
    private readonly PacketMemory _memory = new(65_536);

    [Params(20, 64, 512, 1400, 65_536)]
    public int Bytes { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        NativeYardstick.Build();
        new Random(1).NextBytes(_memory.Span(0, _memory.Length));
    }

    [Benchmark(Baseline = true, OperationsPerInvoke = Operations)]
    public ulong PlainC()
    {
        ulong sum = 0;
        for (int i = 0; i < Operations; i++) sum = NativeYardstick.Checksum(_memory.Address, Bytes, sum);
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Operations)]
    public ulong Full()
    {
        ReadOnlySpan<byte> data = _memory.Span(0, Bytes);
        ulong sum = 0;
        for (int i = 0; i < Operations; i++) sum = InternetChecksum.Add(data, sum);
        return sum;
    }
}
