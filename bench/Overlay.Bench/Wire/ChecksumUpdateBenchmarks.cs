using BenchmarkDotNet.Attributes;
using Overlay.Wire;

namespace Overlay.Bench.Wire;

/// <summary>The incremental update of a checksum by one changed word, each on the result of the one before.</summary>
[MemoryDiagnoser]
public class ChecksumUpdateBenchmarks
{
    private const int Operations = 1000;
    private ushort _checksum = 0x1234;

    [Benchmark(OperationsPerInvoke = Operations)]
    public ushort Incremental()
    {
        for (int i = 0; i < Operations; i++) _checksum = InternetChecksum.Update(_checksum, (ushort)i, 0x5678);
        return _checksum;
    }
}
