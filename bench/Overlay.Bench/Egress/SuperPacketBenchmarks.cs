using BenchmarkDotNet.Attributes;
using Overlay.Bench.Inner;
using Overlay.Dataplane.Egress;

namespace Overlay.Bench.Egress;

/// <summary>The way out of 64 KB TCP super-packets, per segment: cut here, or left to the kernel behind the outer headers.</summary>
[MemoryDiagnoser]
public class SuperPacketBenchmarks
{
    private const int SuperPackets = 4;
    private const int Segments = 44;

    private EgressLoad? _cut, _whole;

    [ParamsAllValues]
    public Tunnel Tunnel { get; set; }

    [ParamsAllValues]
    public bool Ipv6 { get; set; }

    /// <summary>Payload of each segment.</summary>
    [Params(1400)]
    public int Bytes { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        _cut = new EgressLoad(Tunnel);
        _whole = new EgressLoad(Tunnel, TunnelOffload.Ipv4);
        for (int i = 0; i < SuperPackets; i++)
        {
            _cut.AddSuperPacket(InnerFrames.Outgoing(Ipv6, udp: false, Segments * Bytes), Bytes);
            _whole.AddSuperPacket(InnerFrames.Outgoing(Ipv6, udp: false, Segments * Bytes), Bytes);
        }
    }

    [Benchmark(OperationsPerInvoke = SuperPackets * Segments)]
    public int Segment() => _cut!.Run();

    /// <summary>Bare IP, which the kernel segments in no tunnel, is cut here all the same.</summary>
    [Benchmark(OperationsPerInvoke = SuperPackets * Segments)]
    public int TunnelSuperPacket() => _whole!.Run();
}
