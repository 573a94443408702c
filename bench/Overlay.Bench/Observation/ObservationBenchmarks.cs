using BenchmarkDotNet.Attributes;
using Overlay.Bench.Egress;
using Overlay.Bench.Inner;
using Overlay.Dataplane.Observation;

namespace Overlay.Bench.Observation;

/// <summary>What being seen adds to the way out, per packet: nothing, the rings that always run, and a capture that finds nothing.</summary>
[MemoryDiagnoser]
public class ObservationBenchmarks
{
    private const int Packets = 256;
    private const int Bytes = 64;
    private const int Ring = 512;
    private const ushort UnusedPort = 9;

    private EgressLoad? _unseen, _ring, _capture;

    [GlobalSetup]
    public void Fill()
    {
        _unseen = Load(ring: 0, captures: false);
        _ring = Load(Ring, captures: false);
        _capture = Load(Ring, captures: true);
    }

    [Benchmark(OperationsPerInvoke = Packets, Baseline = true)]
    public int Unseen() => _unseen!.Run();

    [Benchmark(OperationsPerInvoke = Packets)]
    public int AlwaysOnRing() => _ring!.Run();

    [Benchmark(OperationsPerInvoke = Packets)]
    public int CaptureOfAnotherPort() => _capture!.Run();

    private static EgressLoad Load(int ring, bool captures)
    {
        var load = new EgressLoad(Tunnel.Vxlan);
        for (int i = 0; i < Packets; i++) load.Add(InnerFrames.Outgoing(ipv6: false, udp: true, Bytes), finished: true);
        load.Observer.RingCapacity = ring;
        if (captures) load.Observer.Captures = [new CaptureQueue(new CaptureFilter { Port = UnusedPort }, snapLength: 65_536, records: 1024, bytes: 1 << 20)];
        return load;
    }
}
