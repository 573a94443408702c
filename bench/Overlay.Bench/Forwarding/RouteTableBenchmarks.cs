using BenchmarkDotNet.Attributes;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Bench.Forwarding;

/// <summary>
/// Longest-prefix match, per lookup, at independent random destinations on a million IPv4 and 200,000 IPv6 prefixes; the same where each
/// destination depends on the answer before; and a dictionary a length and a binary trie beside it.
/// </summary>
[MemoryDiagnoser]
public class RouteLookupBenchmarks
{
    private const int Lookups = 65_536;

    private readonly uint[] _v4 = new uint[Lookups];
    private UInt128[] _v6 = [];
    private RouteTable _table = new([]);
    private LengthDictionaries _dictionariesV4 = null!, _dictionariesV6 = null!;
    private BinaryTrie _trieV4 = null!, _trieV6 = null!;

    [GlobalSetup]
    public void Fill()
    {
        var random = new Random(1);
        RoutePrefix[] v4 = RouteShape.V4(1_000_000, random);
        RoutePrefix[] v6 = RouteShape.V6(200_000, random);
        long before = GC.GetTotalMemory(forceFullCollection: true);
        var tableV4 = new RouteTable(v4);
        long between = GC.GetTotalMemory(forceFullCollection: true);
        var tableV6 = new RouteTable(v6);
        long after = GC.GetTotalMemory(forceFullCollection: true);
        Console.WriteLine($"// bytes a prefix, with what updates need: IPv4 {(between - before) / (double)v4.Length:0.0}, IPv6 {(after - between) / (double)v6.Length:0.0}");
        GC.KeepAlive(tableV4);
        GC.KeepAlive(tableV6);
        _table = new RouteTable([.. v4, .. v6]);
        _dictionariesV4 = new LengthDictionaries(v4, 32);
        _dictionariesV6 = new LengthDictionaries(v6, 128);
        _trieV4 = new BinaryTrie(v4.Select(prefix => prefix with { Address = (uint)prefix.Address }), 32);
        _trieV6 = new BinaryTrie(v6, 128);
        UInt128[] destinations = RouteShape.Destinations(v4, Lookups, 32, random);
        for (int i = 0; i < Lookups; i++) _v4[i] = (uint)destinations[i];
        _v6 = RouteShape.Destinations(v6, Lookups, 128, random);
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long TableV4()
    {
        long sum = 0;
        foreach (uint address in _v4) sum += _table.LookupV4(address);
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long TableV4Dependent()
    {
        long sum = 0;
        foreach (uint address in _v4) sum += _table.LookupV4(address ^ (uint)(sum & 1));
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long DictionariesV4()
    {
        long sum = 0;
        foreach (uint address in _v4) sum += _dictionariesV4.Lookup(IpBits.Mapped(address));
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long BinaryTrieV4()
    {
        long sum = 0;
        foreach (uint address in _v4) sum += _trieV4.Lookup(address);
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long TableV6()
    {
        long sum = 0;
        foreach (UInt128 address in _v6) sum += _table.LookupV6(address);
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long TableV6Dependent()
    {
        long sum = 0;
        foreach (UInt128 address in _v6) sum += _table.LookupV6(address ^ (UInt128)(ulong)(sum & 1));
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long DictionariesV6()
    {
        long sum = 0;
        foreach (UInt128 address in _v6) sum += _dictionariesV6.Lookup(address);
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long BinaryTrieV6()
    {
        long sum = 0;
        foreach (UInt128 address in _v6) sum += _trieV6.Lookup(address);
        return sum;
    }
}

/// <summary>Building a table of a million IPv4 prefixes, and one change of it.</summary>
[MemoryDiagnoser]
[BenchmarkCategory("Control")]
public class RouteUpdateBenchmarks
{
    private const int Updates = 1_024;

    private RoutePrefix[] _prefixes = [];
    private RouteTable _table = new([]);

    [GlobalSetup]
    public void Fill()
    {
        _prefixes = RouteShape.V4(1_000_000, new Random(1));
        _table = new RouteTable(_prefixes);
    }

    [Benchmark]
    public RouteTable Build() => new(_prefixes);

    [Benchmark(OperationsPerInvoke = 2 * Updates)]
    public RouteTable RemoveAndAdd()
    {
        RouteTable table = _table;
        for (int i = 0; i < Updates; i++)
        {
            RoutePrefix prefix = _prefixes[i * 977 % _prefixes.Length];
            table = table.Without(prefix.Address, prefix.Length).With(prefix);
        }
        return table;
    }
}
