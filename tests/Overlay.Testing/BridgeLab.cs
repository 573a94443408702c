using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Testing;

/// <summary>What a <see cref="BridgeLab"/>'s segment is to be.</summary>
public sealed record BridgeLabOptions
{
    public TunnelFormat Format { get; init; } = TunnelFormat.Vxlan;

    public TunnelOffload Tunnel { get; init; }

    public bool Learns { get; init; } = true;

    public int LearnLimit { get; init; } = 64;

    public bool LearnsNeighbours { get; init; }

    public bool FloodsUnknown { get; init; } = true;

    public bool FloodsUnknownNeighbours { get; init; } = true;

    public bool ForwardsReserved { get; init; }

    public int TrainCapacity { get; init; } = 512;

    public int SliceCapacity { get; init; } = 8192;

    /// <summary>Index of the peer; -1: our own side.</summary>
    public IReadOnlyList<(MacAddress Mac, int Peer)> Fixed { get; init; } = [];

    public IReadOnlyList<(UInt128 Address, BridgeNeighbour Neighbour)> Neighbours { get; init; } = [];

    /// <summary>Numbers of the peers that are flooded to, from 1.</summary>
    public int[] Flood { get; init; } = [1, 2, 3];
}

/// <summary>Both ways of one bridged segment, between a device and an underlay in memory, with three peers: two over IPv4, one over IPv6.</summary>
public sealed class BridgeLab
{
    public const uint Vni = 42;
    public const int AgeingSeconds = 10;
    public const int Trains = 16;

    private readonly IngressPath _ingress;
    private readonly IngressPort[] _ports;

    public BridgeLab(BridgeLabOptions? options = null)
    {
        BridgeLabOptions given = options ?? new BridgeLabOptions();
        Peers = [NewPeer("node-b", IpBits.Mapped(0xc000_0202)), NewPeer("node-c", IpBits.Mapped(0xc000_0203)), NewPeer("node-d", new UInt128(0x2001_0db8_0000_0000, 4))];
        Bridge = new Bridge(
            OwnMac, [.. Peers.Select((peer, index) => (index + 1, peer, peer))], given.Flood, given.Fixed.Select(each => (each.Mac, each.Peer + 1)), given.Neighbours)
        {
            Learned = given.Learns ? new MacTable(given.LearnLimit, Time) : null,
            LearnedNeighbours = given.LearnsNeighbours ? new NeighbourTable(given.LearnLimit) : null,
            AgeingSeconds = AgeingSeconds,
            FloodsUnknown = given.FloodsUnknown,
            FloodsUnknownNeighbours = given.FloodsUnknownNeighbours,
            ForwardsReserved = given.ForwardsReserved,
            LastNumber = Peers.Length,
        };
        Segment = new Segment(0, "lan", Vni, OwnMac, 1450, new RouteTable([]), [], given.Format) { Bridge = Bridge };
        Snapshot = new ForwardingSnapshot(1, [Segment], new PeerTable(Peers));
        _ports = [new IngressPort(Trains, Counters)];
        Egress = new EgressPath(new EgressOptions
        {
            SourcePorts = [.. Enumerable.Range(50_000, 256).Select(port => (ushort)port)],
            TunnelSuperPackets = given.Tunnel,
            LocalV4 = EgressLab.LocalOuterV4,
            LocalV6 = EgressLab.LocalOuterV6,
        })
        {
            Observer = Observer,
        };
        _ingress = new IngressPath(queue: 0) { Observer = Observer };
        Input = new FrameBatch(new PacketMemory(1 << 20), Segment.Headroom, 256, superPacketLimit: 4);
        Output = new SendBatch(given.TrainCapacity, given.SliceCapacity);
    }

    public static MacAddress OwnMac => new([2, 0, 0, 0, 0, 1]);

    public ManualTime Time { get; } = new();

    public Peer[] Peers { get; }

    public Bridge Bridge { get; }

    public Segment Segment { get; }

    public ForwardingSnapshot Snapshot { get; }

    public EgressPath Egress { get; }

    public FrameBatch Input { get; }

    public SendBatch Output { get; }

    public ReceiveBatch Received { get; } = new(Trains);

    public GatherBatch Answers { get; } = new(64, 64);

    public QueueCounters Counters { get; } = new();

    public PacketObserver Observer { get; } = new(EgressLab.RingCapacity);

    public QueueCounters Unassigned { get; } = new();

    public MemoryFrameDevice Device { get; } = new();

    public MemoryUnderlay Underlay { get; } = new();

    public IngressPort Port => _ports[0];

    /// <summary>Every inner frame that left, with the index of its peer.</summary>
    public IEnumerable<(int Peer, byte[] Frame)> Sent => Underlay.Sent.SelectMany(
        train => train.Datagrams, (train, datagram) => (Array.IndexOf(Peers, train.Train.Peer), datagram[Segment.HeaderLength..]));

    /// <summary>Takes a frame of our own side.</summary>
    public void FromDevice(byte[] frame, Dataplane.Offload.VirtioNetHeader offload = default)
    {
        Device.Deliver(frame, offload);
        RunEgress();
    }

    /// <summary>Takes frames of a peer: a train of datagrams.</summary>
    public void FromPeer(int peer, params byte[][] frames)
    {
        byte[][] datagrams = [.. frames.Select(frame => (byte[])[.. Segment.TunnelHeader, .. frame])];
        Underlay.Deliver(Peers[peer].Endpoint, [.. datagrams.SelectMany(datagram => datagram)], datagrams[0].Length, encapsulation: Segment.Tunnel.Encapsulation);
        RunIngress();
    }

    /// <summary>Takes all that waits in the device, as a worker does.</summary>
    public void RunEgress()
    {
        while (true)
        {
            Input.Clear();
            if (Device.Read(Input) == 0) return;
            Forward();
            Device.Write(Answers);
            Egress.ShowAnswers(Answers);
            Answers.Clear();
        }
    }

    /// <summary>Takes all that was delivered to the underlay.</summary>
    public void RunIngress()
    {
        while (Underlay.Receive(Received) > 0)
        {
            ProcessReceived();
            Device.Write(Port.Frames);
            Observer.Delivered(Port, Segment, Received.Memory);
            Port.Account();
        }
    }

    /// <summary>Sends the frames of <see cref="Input"/>.</summary>
    public void Forward()
    {
        for (int next = 0; next < Input.Count; Output.Clear())
        {
            next = Egress.Process(Input, next, Segment, Output, Answers, Counters);
            Underlay.Send(Output);
            Egress.Account(Output, Counters);
        }
    }

    public void ProcessReceived() => _ingress.Process(Received, Snapshot, _ports, Unassigned);

    public long Drops(DropReason reason) => Counters.Drops[(int)reason];

    /// <summary>Both ways: in and copies = out and answered and dropped.</summary>
    /// <exception cref="InvalidOperationException">They differ.</exception>
    public void CheckBalance()
    {
        long egress = 0, ingress = 0, unassigned = 0;
        for (DropReason reason = 0; (int)reason < Counters.Drops.Length; reason++)
        {
            if (reason < DropReason.IngressMalformed) egress += Drops(reason);
            else ingress += Drops(reason);
            unassigned += Unassigned.Drops[(int)reason];
        }
        Equal(Counters.EgressIn.Packets + Counters.EgressReplicated, Counters.EgressOut.Packets + Counters.EgressAnswered + egress, "out");
        Equal(Counters.IngressIn.Packets, Counters.IngressOut.Packets + ingress, "in");
        Equal(Unassigned.IngressIn.Packets, unassigned, "to no segment");
        if (Bridge.Learned is { } learned && learned.Count > learned.Limit) throw new InvalidOperationException($"{learned.Count} learned of {learned.Limit}");

        static void Equal(long taken, long accounted, string way)
        {
            if (taken != accounted) throw new InvalidOperationException($"way {way}: {taken} taken, {accounted} accounted for");
        }
    }

    private static Peer NewPeer(string name, UInt128 address) => new(name, new UnderlayEndpoint(address, VxlanHeader.DefaultPort), default, new PeerTraffic(1));
}
