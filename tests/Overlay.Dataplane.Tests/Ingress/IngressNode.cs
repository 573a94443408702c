using System.Buffers.Binary;
using System.Net;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>An ingress path between an underlay and two devices in memory, with one known peer for each outer family.</summary>
internal sealed class IngressNode
{
    public const uint Vni = 42;
    public const uint OtherVni = 43;
    public const int Mtu = 1450;
    public const int Trains = 16;

    public static readonly UnderlayEndpoint PeerV4 = Endpoint("192.0.2.2");
    public static readonly UnderlayEndpoint PeerV6 = Endpoint("2001:db8::2");
    public static readonly UnderlayEndpoint Stranger = Endpoint("192.0.2.99");

    private readonly IngressPath _path;
    private readonly ReceiveBatch _batch = new(Trains);
    private readonly IngressPort[] _ports;
    private readonly ForwardingSnapshot _snapshot;
    private readonly TunnelFormat _format;

    public IngressNode()
        : this(new MacAddress(PlainPacket.DeviceMac))
    {
    }

    public IngressNode(MacAddress deviceMac, TunnelFormat? format = null, bool checksReversePath = false)
    {
        _format = format ?? TunnelFormat.Vxlan;
        Paths = new PathInbox(() => Wakes++);
        _path = new IngressPath(queue: 0) { PathMessages = Paths, Observer = Observer };
        Peer[] peers = [NewPeer("v4", PeerV4, checksReversePath), NewPeer("v6", PeerV6, checksReversePath)];
        Segment[] segments = [NewSegment(0, Vni, deviceMac, peers), NewSegment(1, OtherVni, deviceMac, peers)];
        _snapshot = new ForwardingSnapshot(1, segments, new PeerTable(peers)) { IpInIpSegment = _format.IsIpInIp ? segments[0] : null };
        _ports = [new IngressPort(Trains, new QueueCounters()), new IngressPort(Trains, new QueueCounters())];
        Peers = peers;
    }

    public MemoryUnderlay Underlay { get; } = new();

    public MemoryFrameDevice Device { get; } = new();

    public MemoryFrameDevice OtherDevice { get; } = new();

    public Peer[] Peers { get; }

    /// <summary>Gets the path messages.</summary>
    public PathInbox Paths { get; }

    /// <summary>How often <see cref="Paths"/> called for somebody to take them.</summary>
    public int Wakes { get; private set; }

    public ForwardingSnapshot Snapshot => _snapshot;

    public QueueCounters Counters => _ports[0].Counters;

    public QueueCounters OtherCounters => _ports[1].Counters;

    public QueueCounters Unassigned { get; } = new();

    public PacketObserver Observer { get; } = new(EgressLab.RingCapacity);

    public IngressPort[] Ports => _ports;

    public ReceiveBatch Batch => _batch;

    public static byte[] Tunnel(byte[] frame, uint vni = Vni, byte flags = 0x08)
    {
        byte[] datagram = new byte[8 + frame.Length];
        datagram[0] = flags;
        BinaryPrimitives.WriteUInt32BigEndian(datagram.AsSpan(4), vni << 8);
        frame.CopyTo(datagram, 8);
        return datagram;
    }

    /// <summary>Queues inner frames, each a train of its own.</summary>
    public void DeliverSingly(params IEnumerable<byte[]> frames)
    {
        foreach (byte[] frame in frames) Underlay.Deliver(PeerV4, Tunnel(frame));
    }

    /// <summary>Queues inner frames as one train: of equal length, the last may be shorter.</summary>
    public void DeliverTrain(params byte[][] frames)
    {
        byte[][] datagrams = [.. frames.Select(frame => Tunnel(frame))];
        Underlay.Deliver(PeerV4, [.. datagrams.SelectMany(datagram => datagram)], datagrams[0].Length);
    }

    /// <summary>Takes in everything that was queued.</summary>
    public void Run()
    {
        while (Underlay.Receive(_batch) > 0)
        {
            Process();
            Device.Write(_ports[0].Frames);
            OtherDevice.Write(_ports[1].Frames);
            for (int i = 0; i < _ports.Length; i++) Observer.Delivered(_ports[i], _snapshot.Segments[i], _batch.Memory);
            foreach (IngressPort port in _ports) port.Account();
        }
    }

    public void Process() => _path.Process(_batch, _snapshot, _ports, Unassigned);

    public IReadOnlyList<MemoryFrame> RunSingly(params IEnumerable<byte[]> frames)
    {
        DeliverSingly(frames);
        Run();
        return Device.Written;
    }

    /// <summary>In = out + drops, for each set of counters.</summary>
    public void AssertConserved()
    {
        foreach (QueueCounters counters in new[] { Counters, OtherCounters, Unassigned })
        {
            long drops = 0;
            foreach (long count in counters.Drops) drops += count;
            Assert.Equal(counters.IngressIn.Packets, counters.IngressOut.Packets + drops);
        }
    }

    private static Peer NewPeer(string name, UnderlayEndpoint endpoint, bool checksReversePath) =>
        new(name, endpoint, new MacAddress(PlainPacket.PeerMac), new PeerTraffic(1)) { ChecksReversePath = checksReversePath };

    private Segment NewSegment(int index, uint vni, MacAddress deviceMac, Peer[] peers) =>
        new(index, $"segment{index}", vni, deviceMac, Mtu, new RouteTable([]), peers, _format);

    private static UnderlayEndpoint Endpoint(string address) => new(IpBits.V6OrMapped(IPAddress.Parse(address)), 4789);
}
