using BenchmarkDotNet.Attributes;
using Overlay.Wire;

namespace Overlay.Bench.Wire;

/// <summary>The Internet checksum of a header, of a packet of the Ethernet MTU, of a super-packet, and its incremental update.</summary>
[MemoryDiagnoser]
public class ChecksumBenchmarks
{
    private const int Operations = 1000;
    private readonly byte[] _data = new byte[65_536];
    private ushort _checksum = 0x1234;

    [GlobalSetup]
    public void Setup() => new Random(1).NextBytes(_data);

    [Benchmark(OperationsPerInvoke = Operations)]
    [Arguments(20)]
    [Arguments(1448)]
    [Arguments(65_536)]
    public ulong Add(int bytes)
    {
        ReadOnlySpan<byte> data = _data.AsSpan(0, bytes);
        ulong sum = 0;
        for (int i = 0; i < Operations; i++) sum = InternetChecksum.Add(data, sum);
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Operations)]
    public ushort Update()
    {
        for (int i = 0; i < Operations; i++) _checksum = InternetChecksum.Update(_checksum, (ushort)i, 0x5678);
        return _checksum;
    }
}
