using BenchmarkDotNet.Attributes;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Offload;
using Overlay.Testing;

namespace Overlay.Bench;

/// <summary>The way out without the kernel: from frames in memory to trains. Every row but the last is per packet; that one per super-packet.</summary>
[MemoryDiagnoser]
public class EgressBenchmarks
{
    private const int Packets = 256;
    private const int SuperPackets = 4;

    private readonly EgressLab _small = new();
    private readonly EgressLab _interleaved = new();
    private readonly EgressLab _unfinished = new();
    private readonly EgressLab _super = new();
    private readonly EgressLab _tunnel = new(TunnelOffload.Ipv4);

    [GlobalSetup]
    public void Fill()
    {
        for (int i = 0; i < Packets; i++)
        {
            InnerFrame frame = Frame(payload: 64);
            Add(_small, frame.Finished(), default);
            Add(_interleaved, (frame with { SourcePort = (ushort)(1000 + (i % 8)) }).Finished(), default);
            InnerFrame full = Frame(payload: 1398);
            Add(_unfinished, full.Unfinished(), full.Offload(0));
        }
        for (int i = 0; i < SuperPackets; i++)
        {
            InnerFrame frame = Frame(payload: 44 * 1398);
            Add(_super, frame.Unfinished(), frame.Offload(1398));
            Add(_tunnel, frame.Unfinished(), frame.Offload(1398));
        }
    }

    [Benchmark(OperationsPerInvoke = Packets)]
    public int EncapsulateSmall() => Run(_small);

    [Benchmark(OperationsPerInvoke = Packets)]
    public int EncapsulateEightFlowsInterleaved() => Run(_interleaved);

    [Benchmark(OperationsPerInvoke = Packets)]
    public int EncapsulateAndFinishChecksum() => Run(_unfinished);

    [Benchmark(OperationsPerInvoke = SuperPackets)]
    public int SegmentSuperPacket() => Run(_super);

    [Benchmark(OperationsPerInvoke = SuperPackets)]
    public int TunnelSuperPacket() => Run(_tunnel);

    private static int Run(EgressLab lab)
    {
        int trains = 0;
        for (int next = 0; next < lab.Input.Count; lab.Output.Clear())
        {
            next = lab.Path.Process(lab.Input, next, lab.Segment, lab.Output, lab.Answers, lab.Counters);
            lab.Path.Account(lab.Output, lab.Counters);
            trains += lab.Output.Count;
        }
        return trains;
    }

    private static void Add(EgressLab lab, byte[] bytes, VirtioNetHeader offload)
    {
        ref Frame frame = ref lab.Input.Next();
        frame.Offload = offload;
        bytes.CopyTo(lab.Input.Memory.Span(frame.Offset, bytes.Length));
        lab.Input.Commit(bytes.Length);
    }

    private static InnerFrame Frame(int payload) =>
        new() { Source = EgressLab.LocalV4, Destination = EgressLab.V4(2, 9), Payload = new byte[payload] };
}
