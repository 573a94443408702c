using System.Net;
using BenchmarkDotNet.Attributes;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Bench;

/// <summary>What arrives.</summary>
public enum Arrivals
{
    /// <summary>UDP without checksum: nothing to verify nor to join, so this is the cost of taking the tunnel off.</summary>
    DecapsulateOnly,

    /// <summary>One TCP flow, in order, with timestamps.</summary>
    OneTcpFlow,

    /// <summary>One TCP flow over IPv6.</summary>
    OneTcpFlowIPv6,

    /// <summary>Sixteen TCP flows, a packet of each in turn.</summary>
    SixteenTcpFlows,

    /// <summary>One UDP flow.</summary>
    OneUdpFlow,
}

/// <summary>The ingress path from received trains to frames for the device, per datagram.</summary>
[MemoryDiagnoser]
public class IngressBenchmarks
{
    private const int Trains = 4;
    private const int PerTrain = 44;
    private const int Datagrams = Trains * PerTrain;
    private const int HeaderBytes = 128;

    private static readonly UnderlayEndpoint Source = new(IpBits.V6OrMapped(IPAddress.Parse("192.0.2.2")), VxlanHeader.DefaultPort);
    private static readonly MacAddress DeviceMac = new([2, 0, 0, 0, 0, 0x0b]);

    private readonly IngressPath _path = new(queue: 0);
    private readonly ReceiveBatch _batch = new(Trains);
    private readonly QueueCounters _unassigned = new();
    private readonly byte[] _headers = new byte[Datagrams * HeaderBytes];
    private IngressPort[] _ports = [];
    private ForwardingSnapshot? _snapshot;
    private int _datagramLength;

    [Params(64, 512, 1400)]
    public int Payload { get; set; }

    [ParamsAllValues]
    public Arrivals Arrivals { get; set; }

    [GlobalSetup]
    public void Prepare()
    {
        Peer peer = new("peer", Source, DeviceMac, new PeerTraffic(1));
        _snapshot = new ForwardingSnapshot(1, [new Segment(0, "pods", 42, DeviceMac, 1450, new RouteTable([]), [peer])], new PeerTable([peer]));
        _ports = [new IngressPort(Trains, new QueueCounters())];
        var underlay = new MemoryUnderlay();
        for (int train = 0; train < Trains; train++)
        {
            byte[][] datagrams = [.. Enumerable.Range(train * PerTrain, PerTrain).Select(Datagram)];
            _datagramLength = datagrams[0].Length;
            underlay.Deliver(Source, [.. datagrams.SelectMany(datagram => datagram)], _datagramLength);
        }
        underlay.Receive(_batch);
        for (int i = 0; i < Datagrams; i++) Header(i).CopyTo(_headers.AsSpan(i * HeaderBytes));
    }

    /// <summary>Includes putting back the headers that coalescing rewrites: those of the first packets of super-packets.</summary>
    [Benchmark(OperationsPerInvoke = Datagrams)]
    public int Process()
    {
        _path.Process(_batch, _snapshot!, _ports, _unassigned);
        int frames = _ports[0].Frames.Count;
        foreach (ref readonly GatheredFrame frame in _ports[0].Frames.Frames)
        {
            if (frame.SliceCount == 1) continue;
            long offset = _ports[0].Frames.Slices(frame)[0].Address - _batch.Memory.Address - VxlanHeader.Length;
            (long slot, long inSlot) = Math.DivRem(offset, ReceiveBatch.SlotLength);
            int index = (int)((slot * PerTrain) + (inSlot / _datagramLength));
            _headers.AsSpan(index * HeaderBytes, HeaderBytes).CopyTo(Header(index));
        }
        _ports[0].Account();
        return frames;
    }

    private Span<byte> Header(int index) =>
        _batch.Memory.Span(ReceiveBatch.SlotOffset(index / PerTrain) + (index % PerTrain * _datagramLength), HeaderBytes);

    private byte[] Datagram(int index)
    {
        bool v6 = Arrivals == Arrivals.OneTcpFlowIPv6;
        bool udp = Arrivals is Arrivals.DecapsulateOnly or Arrivals.OneUdpFlow;
        int flows = Arrivals == Arrivals.SixteenTcpFlows ? 16 : 1;
        var inner = new InnerFrame
        {
            IsIpv6 = v6,
            IsUdp = udp,
            Source = v6 ? EgressLab.V6(2, 9) : EgressLab.V4(2, 9),
            Destination = v6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
            SourcePort = (ushort)(40_000 + (index % flows)),
            SequenceNumber = (uint)(index / flows * Payload),
            Identification = (ushort)(index / flows),
            TcpOptions = udp ? [] : [1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4],
            Payload = new byte[Payload],
        };
        byte[] frame = inner.Finished();
        DeviceMac.CopyTo(frame);
        if (Arrivals == Arrivals.DecapsulateOnly) InternetChecksum.Store(frame.AsSpan(inner.TransportOffset + UdpHeader.ChecksumOffset), 0);
        byte[] datagram = new byte[VxlanHeader.Length + frame.Length];
        VxlanHeader.Write(datagram, 42);
        frame.CopyTo(datagram, VxlanHeader.Length);
        return datagram;
    }
}
