using BenchmarkDotNet.Attributes;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Bench.Inner;

/// <summary>The parse that both directions share: offsets, destination and flow hash of an inner frame.</summary>
[MemoryDiagnoser]
public class InnerPacketBenchmarks
{
    private const int Frames = 256;
    private readonly byte[][] _frames = new byte[Frames][];

    [ParamsAllValues]
    public bool Ipv6 { get; set; }

    [ParamsAllValues]
    public bool Udp { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        for (int i = 0; i < Frames; i++) _frames[i] = InnerFrames.Outgoing(Ipv6, Udp, payload: 64, flow: i).Finished();
    }

    [Benchmark(OperationsPerInvoke = Frames)]
    public uint Parse()
    {
        uint hashes = 0;
        foreach (byte[] frame in _frames)
        {
            if (InnerPacket.TryParse(frame, out InnerPacket packet) == WireStatus.Ok) hashes ^= packet.FlowHash;
        }
        return hashes;
    }
}
