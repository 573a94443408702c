using BenchmarkDotNet.Attributes;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Bench.Forwarding;

/// <summary>Longest-prefix match, per lookup, at random destinations.</summary>
[MemoryDiagnoser]
public class RouteTableBenchmarks
{
    private const int Lookups = 4096;

    private readonly uint[] _v4 = new uint[Lookups];
    private readonly UInt128[] _v6 = new UInt128[Lookups];
    private RouteTable _table = new([]);

    /// <summary>Prefixes of each family: /24 of IPv4, /64 of IPv6.</summary>
    [Params(10, 1_000, 1_000_000)]
    public int Prefixes { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        var prefixes = new List<RoutePrefix>(2 * Prefixes);
        for (int i = 0; i < Prefixes; i++)
        {
            prefixes.Add(new RoutePrefix(IpBits.Mapped(V4(i)), 24, i));
            prefixes.Add(new RoutePrefix(V6(i), 64, i));
        }
        _table = new RouteTable(prefixes);
        var random = new Random(1);
        for (int i = 0; i < Lookups; i++)
        {
            int prefix = random.Next(Prefixes);
            _v4[i] = V4(prefix) | (uint)random.Next(256);
            _v6[i] = V6(prefix) | (uint)random.Next(256);
        }
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long LookupV4()
    {
        long sum = 0;
        foreach (uint address in _v4) sum += _table.LookupV4(address);
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long LookupV6()
    {
        long sum = 0;
        foreach (UInt128 address in _v6) sum += _table.LookupV6(address);
        return sum;
    }

    private static uint V4(int index) => 0x0a000000 + ((uint)index << 8);

    private static UInt128 V6(int index) => new(0xfd00_0244_0000_0000 + ((ulong)index << 4), 0);
}
