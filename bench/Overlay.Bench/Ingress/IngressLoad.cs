using System.Buffers.Binary;
using System.Net;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Bench.Ingress;

/// <summary>Received trains in memory and the ingress path that makes frames of them, time and again.</summary>
internal sealed class IngressLoad
{
    /// <summary>Datagrams of all trains.</summary>
    public const int Datagrams = 176;

    private const int MostPerTrain = 44;
    private const int HeaderBytes = 128;
    private const uint Vni = 42;

    private static readonly UnderlayEndpoint Source = new(IpBits.V6OrMapped(IPAddress.Parse("192.0.2.2")), VxlanHeader.DefaultPort);
    private static readonly MacAddress DeviceMac = new([2, 0, 0, 0, 0, 0x0b]);

    private readonly IngressPath _path = new(queue: 0);
    private readonly ReceiveBatch _batch;
    private readonly QueueCounters _unassigned = new();
    private readonly byte[] _headers = new byte[Datagrams * HeaderBytes];
    private readonly IngressPort[] _ports;
    private readonly ForwardingSnapshot _snapshot;
    private readonly int _tunnelHeader;

    /// <summary>Of a frame for the device, what was received: an Ethernet header that a packet came without is before it.</summary>
    private readonly int _firstSlice;
    private readonly int _datagramLength;

    /// <summary>The kernel joins no packets that come without UDP.</summary>
    private readonly int _perTrain;

    /// <param name="tunnel">Of the datagrams.</param>
    /// <param name="frame">The inner frame of each index; all of one length, addressed to the device.</param>
    public IngressLoad(Tunnel tunnel, Func<int, byte[]> frame)
    {
        TunnelFormat format = tunnel.Format();
        Peer peer = new("peer", Source, DeviceMac, new PeerTraffic(1));
        var segment = new Segment(0, "pods", Vni, DeviceMac, 1450, new RouteTable([]), [peer], format);
        _snapshot = new ForwardingSnapshot(1, [segment], new PeerTable([peer])) { IpInIpSegment = format.IsIpInIp ? segment : null };
        _perTrain = format.IsIpInIp ? 1 : MostPerTrain;
        int trains = Datagrams / _perTrain;
        _batch = new ReceiveBatch(trains);
        _ports = [new IngressPort(trains, new QueueCounters())];
        _tunnelHeader = format.HeaderLength;
        _firstSlice = format.IsBareIp ? 1 : 0;
        var underlay = new MemoryUnderlay();
        for (int train = 0; train < trains; train++)
        {
            byte[][] datagrams = [.. Enumerable.Range(train * _perTrain, _perTrain).Select(index => Datagram(format, frame(index)))];
            _datagramLength = datagrams[0].Length;
            if (format.IsIpInIp) underlay.DeliverIpInIp(Source, datagrams[0], datagrams[0][0] >> 4 == 4 ? IpProtocols.Ipv4InIp : IpProtocols.Ipv6InIp);
            else underlay.Deliver(Source, [.. datagrams.SelectMany(datagram => datagram)], _datagramLength, encapsulation: format.Encapsulation);
        }
        underlay.Receive(_batch);
        for (int i = 0; i < Datagrams; i++) Header(i).CopyTo(_headers.AsSpan(i * HeaderBytes));
        Run();
        if (_ports[0].Counters.IngressOut.Packets != Datagrams) throw new InvalidOperationException("the path drops what it is to carry");
    }

    /// <summary>Takes every datagram once, and puts back the headers that coalescing rewrites: those of the first packets of super-packets.</summary>
    /// <returns>Frames for the device.</returns>
    public int Run()
    {
        _path.Process(_batch, _snapshot, _ports, _unassigned);
        int frames = _ports[0].Frames.Count;
        foreach (ref readonly GatheredFrame frame in _ports[0].Frames.Frames)
        {
            if (frame.SliceCount == _firstSlice + 1) continue;
            long offset = _ports[0].Frames.Slices(frame)[_firstSlice].Address - _batch.Memory.Address - _tunnelHeader;
            (long slot, long inSlot) = Math.DivRem(offset, ReceiveBatch.SlotLength);
            int index = (int)((slot * _perTrain) + (inSlot / _datagramLength));
            _headers.AsSpan(index * HeaderBytes, HeaderBytes).CopyTo(Header(index));
        }
        _ports[0].Account();
        return frames;
    }

    private static byte[] Datagram(TunnelFormat format, byte[] frame)
    {
        DeviceMac.CopyTo(frame);
        byte[] prefix = format.Template(Vni, DeviceMac, DeviceMac)[..format.HeaderLength];
        if (!format.IsBareIp) return [.. prefix, .. frame];
        if (format.IsIpInIp) return frame[EthernetFrame.MinHeaderLength..];
        ushort etherType = BinaryPrimitives.ReadUInt16BigEndian(frame.AsSpan(2 * MacAddress.Length));
        GeneveHeader.Write(prefix, Vni, etherType, format.GeneveOptions);
        return [.. prefix, .. frame.AsSpan(EthernetFrame.MinHeaderLength)];
    }

    private Span<byte> Header(int index) =>
        _batch.Memory.Span(ReceiveBatch.SlotOffset(index / _perTrain) + (index % _perTrain * _datagramLength), HeaderBytes);
}
