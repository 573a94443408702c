using BenchmarkDotNet.Attributes;
using Overlay.Bench.Inner;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Bench.Ingress;

/// <summary>The way in, from received trains to frames for the device, per datagram.</summary>
[MemoryDiagnoser]
public class IngressBenchmarks
{
    private const int SixteenFlows = 16;

    private IngressLoad? _unchecked, _udp, _tcp, _sixteen;

    [ParamsAllValues]
    public Tunnel Tunnel { get; set; }

    [ParamsAllValues]
    public bool Ipv6 { get; set; }

    /// <summary>Payload of each packet.</summary>
    [Params(64, 512, 1400)]
    public int Bytes { get; set; }

    [GlobalSetup]
    public void Prepare()
    {
        _unchecked = new IngressLoad(Tunnel, _ => WithoutChecksum(InnerFrames.Incoming(Ipv6, udp: true, Bytes)));
        _udp = new IngressLoad(Tunnel, index => Next(InnerFrames.Incoming(Ipv6, udp: true, Bytes), index).Finished());
        _tcp = new IngressLoad(Tunnel, index => Next(InnerFrames.Incoming(Ipv6, udp: false, Bytes), index).Finished());
        _sixteen = new IngressLoad(
            Tunnel,
            index => Next(InnerFrames.Incoming(Ipv6, udp: false, Bytes, flow: index % SixteenFlows), index / SixteenFlows).Finished());
    }

    /// <summary>UDP without checksum: nothing to verify nor to join, so this is the cost of taking the tunnel off.</summary>
    [Benchmark(OperationsPerInvoke = IngressLoad.Datagrams)]
    public int Decapsulate() => _unchecked!.Run();

    [Benchmark(OperationsPerInvoke = IngressLoad.Datagrams)]
    public int CoalesceUdp() => _udp!.Run();

    [Benchmark(OperationsPerInvoke = IngressLoad.Datagrams)]
    public int CoalesceTcp() => _tcp!.Run();

    /// <summary>A packet of each flow in turn.</summary>
    [Benchmark(OperationsPerInvoke = IngressLoad.Datagrams)]
    public int CoalesceSixteenTcpFlows() => _sixteen!.Run();

    private static InnerFrame Next(InnerFrame first, int index) => first with
    {
        SequenceNumber = (uint)(index * first.Payload.Length),
        Identification = (ushort)index,
    };

    private static byte[] WithoutChecksum(InnerFrame frame)
    {
        byte[] bytes = frame.Finished();
        InternetChecksum.Store(bytes.AsSpan(frame.TransportOffset + UdpHeader.ChecksumOffset), 0);
        return bytes;
    }
}
