using BenchmarkDotNet.Attributes;
using Overlay.Bench.Inner;

namespace Overlay.Bench.Egress;

/// <summary>The way out of single packets, from frames in memory to trains, per packet: parse, lookup, tunnel header, train.</summary>
[MemoryDiagnoser]
public class EncapsulateBenchmarks
{
    private const int Packets = 256;
    private const int Interleaved = 8;

    private EgressLoad? _oneFlow, _eightFlows, _unfinished;

    [ParamsAllValues]
    public Tunnel Tunnel { get; set; }

    [ParamsAllValues]
    public bool Ipv6 { get; set; }

    /// <summary>Payload of each UDP packet.</summary>
    [Params(64, 512, 1400)]
    public int Bytes { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        _oneFlow = new EgressLoad(Tunnel);
        _eightFlows = new EgressLoad(Tunnel);
        _unfinished = new EgressLoad(Tunnel);
        for (int i = 0; i < Packets; i++)
        {
            _oneFlow.Add(InnerFrames.Outgoing(Ipv6, udp: true, Bytes), finished: true);
            _eightFlows.Add(InnerFrames.Outgoing(Ipv6, udp: true, Bytes, flow: i % Interleaved), finished: true);
            _unfinished.Add(InnerFrames.Outgoing(Ipv6, udp: true, Bytes), finished: false);
        }
    }

    [Benchmark(OperationsPerInvoke = Packets)]
    public int OneFlow() => _oneFlow!.Run();

    /// <summary>A packet of each flow in turn.</summary>
    [Benchmark(OperationsPerInvoke = Packets)]
    public int EightFlows() => _eightFlows!.Run();

    /// <summary>As a device delivers what was sent with checksum offload.</summary>
    [Benchmark(OperationsPerInvoke = Packets)]
    public int OneFlowWithChecksum() => _unfinished!.Run();
}
