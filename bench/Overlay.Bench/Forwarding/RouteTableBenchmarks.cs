using BenchmarkDotNet.Attributes;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Bench.Forwarding;

/// <summary>
/// Longest-prefix match, per lookup, at independent random destinations on a million IPv4 and 200,000 IPv6 prefixes: in batches of as many as a
/// worker reads packets in one go, one by one, and each waiting for the answer before; and a dictionary a length and a binary trie beside it.
/// </summary>
[MemoryDiagnoser]
public class RouteLookupBenchmarks
{
    private const int Lookups = 65_536;

    /// <summary>Packets that a worker reads in one go.</summary>
    private const int Batch = 256;

    private readonly int[] _values = new int[Batch];
    private uint[] _v4 = [];
    private UInt128[] _v6 = [];
    private RouteTable _tableV4 = new([]), _tableV6 = new([]);
    private LengthDictionaries _dictionariesV4 = null!, _dictionariesV6 = null!;
    private BinaryTrie _trieV4 = null!, _trieV6 = null!;

    /// <summary>Tables have one in so many of the prefixes: tests that only run the rows need no million.</summary>
    public int Thinning { get; set; } = 1;

    // A process measures one row, and a trie or the dictionaries take longer to fill than to measure: each row fills its own only.
    [GlobalSetup(Targets = [nameof(TableV4), nameof(TableV4Single), nameof(TableV4Dependent)])]
    public void FillTableV4() => _tableV4 = Table(DrawV4());

    [GlobalSetup(Target = nameof(DictionariesV4))]
    public void FillDictionariesV4() => _dictionariesV4 = new LengthDictionaries(DrawV4(), 32);

    [GlobalSetup(Target = nameof(BinaryTrieV4))]
    public void FillTrieV4() => _trieV4 = new BinaryTrie(DrawV4().Select(prefix => prefix with { Address = (uint)prefix.Address }), 32);

    [GlobalSetup(Targets = [nameof(TableV6), nameof(TableV6Single), nameof(TableV6Dependent)])]
    public void FillTableV6() => _tableV6 = Table(DrawV6());

    [GlobalSetup(Target = nameof(DictionariesV6))]
    public void FillDictionariesV6() => _dictionariesV6 = new LengthDictionaries(DrawV6(), 128);

    [GlobalSetup(Target = nameof(BinaryTrieV6))]
    public void FillTrieV6() => _trieV6 = new BinaryTrie(DrawV6(), 128);

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long TableV4()
    {
        long sum = 0;
        for (int start = 0; start < Lookups; start += Batch)
        {
            _tableV4.LookupV4(_v4.AsSpan(start, Batch), _values);
            foreach (int value in _values) sum += value;
        }
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long TableV4Single()
    {
        long sum = 0;
        foreach (uint address in _v4) sum += _tableV4.LookupV4(address);
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long TableV4Dependent()
    {
        long sum = 0;
        foreach (uint address in _v4) sum += _tableV4.LookupV4(address ^ (uint)(sum & 1));
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
        for (int start = 0; start < Lookups; start += Batch)
        {
            _tableV6.LookupV6(_v6.AsSpan(start, Batch), _values);
            foreach (int value in _values) sum += value;
        }
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long TableV6Single()
    {
        long sum = 0;
        foreach (UInt128 address in _v6) sum += _tableV6.LookupV6(address);
        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lookups)]
    public long TableV6Dependent()
    {
        long sum = 0;
        foreach (UInt128 address in _v6) sum += _tableV6.LookupV6(address ^ new UInt128((ulong)(sum & 1), 0));
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

    /// <summary>The prefixes, the same in every process, and the destinations looked up in them.</summary>
    private RoutePrefix[] DrawV4()
    {
        var random = new Random(1);
        RoutePrefix[] prefixes = RouteShape.V4(RouteShape.CountV4 / Thinning, random);
        _v4 = [.. RouteShape.Destinations(prefixes, Lookups, 32, random).Select(destination => (uint)destination)];
        return prefixes;
    }

    private RoutePrefix[] DrawV6()
    {
        var random = new Random(1);
        RoutePrefix[] prefixes = RouteShape.V6(RouteShape.CountV6 / Thinning, random);
        _v6 = RouteShape.Destinations(prefixes, Lookups, 128, random);
        return prefixes;
    }

    private static RouteTable Table(RoutePrefix[] prefixes)
    {
        long before = GC.GetTotalMemory(forceFullCollection: true);
        var table = new RouteTable(prefixes);
        double bytes = GC.GetTotalMemory(forceFullCollection: true) - before;
        Console.WriteLine($"// bytes a prefix, with what updates need: {bytes / prefixes.Length:0.0}");
        return table;
    }
}

/// <summary>Building a table of a million IPv4 or 200,000 IPv6 prefixes, and one change of it.</summary>
[MemoryDiagnoser]
[BenchmarkCategory("Control")]
public class RouteUpdateBenchmarks
{
    private const int Updates = 1_024;

    private RoutePrefix[] _prefixes = [];
    private RouteTable _table = new([]);

    [Params(4, 6)]
    public int Family { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        _prefixes = Family == 4 ? RouteShape.V4(RouteShape.CountV4, new Random(1)) : RouteShape.V6(RouteShape.CountV6, new Random(1));
        _table = new RouteTable(_prefixes);
    }

    [Benchmark]
    public RouteTable Build() => new(_prefixes);

    /// <summary>An operation is one change.</summary>
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
