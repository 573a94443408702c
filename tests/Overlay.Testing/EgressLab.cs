using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Testing;

/// <summary>
/// An egress path between devices in memory. Three peers: 10.244.2.0/24 and fd00:244:2::/64 lie behind B, …3… behind C (both over IPv4),
/// …4… behind D (over IPv6); 10.244.8.0/24 is prohibited, 10.244.9.0/24 behind B and C alike.
/// </summary>
public sealed class EgressLab
{
    public const uint Vni = 42;
    public const uint LocalV4 = 0x0a_f4_01_05;
    public const uint LocalOuterV4 = 0xc000_0201;

    public const int RingCapacity = 64;

    private const int SourcePorts = 256;

    public EgressLab(
        TunnelOffload tunnel = TunnelOffload.None, byte trafficClass = 0, int trainCapacity = 512, int sliceCapacity = 8192, int frameCapacity = 256,
        TunnelFormat? format = null, Func<EgressOptions, EgressOptions>? change = null,
        Func<Peer[], Segment>? segment = null, int? everythingTo = null)
    {
        B = NewPeer("node-b", IpBits.Mapped(0xc000_0202), 2);
        C = NewPeer("node-c", IpBits.Mapped(0xc000_0203), 3);
        D = NewPeer("node-d", new UInt128(0x2001_0db8_0000_0000, 4), 4);
        var prefixes = new List<RoutePrefix>();
        for (int i = 0; i < 3; i++)
        {
            prefixes.Add(new RoutePrefix(IpBits.Mapped(V4(i + 2, 0)), 24, i));
            prefixes.Add(new RoutePrefix(V6(i + 2, 0), 64, i));
        }
        prefixes.Add(new RoutePrefix(IpBits.Mapped(V4(8, 0)), 24, new RouteTarget(RouteAction.Prohibit).Value));
        prefixes.Add(new RoutePrefix(IpBits.Mapped(V4(9, 0)), 24, new RouteTarget(RouteAction.Group).Value));
        if (everythingTo is { } node) prefixes.Add(new RoutePrefix(IpBits.Mapped(0), 0, node - 2));
        Segment = segment is not null ? segment([B, C, D]) : new Segment(0, "pods", Vni, new MacAddress([2, 0, 0, 0, 0, 1]), 1450, new RouteTable(prefixes), [B, C, D], format ?? TunnelFormat.Vxlan)
        {
            Groups = [new PeerGroup([new GroupMember(0, "node-b", 1), new GroupMember(1, "node-c", 1)])],
        };
        var options = new EgressOptions
        {
            SourcePorts = [.. Enumerable.Range(50_000, SourcePorts).Select(port => (ushort)port)],
            TrafficClass = trafficClass,
            TunnelSuperPackets = tunnel,
            LocalV4 = LocalOuterV4,
            LocalV6 = LocalOuterV6,
        };
        Options = change is null ? options : change(options);
        Path = new EgressPath(Options) { Observer = Observer };
        Input = new FrameBatch(new PacketMemory(1 << 20), Segment.Headroom, frameCapacity, superPacketLimit: 4);
        Output = new SendBatch(trainCapacity, sliceCapacity);
    }

    public static UInt128 LocalOuterV6 => new(0x2001_0db8_0000_0000, 1);

    public static UInt128 LocalV6 => V6(1, 5);

    public Peer B { get; }

    public Peer C { get; }

    public Peer D { get; }

    public Segment Segment { get; }

    public EgressOptions Options { get; }

    public EgressPath Path { get; }

    public FrameBatch Input { get; }

    public SendBatch Output { get; }

    public GatherBatch Answers { get; } = new(64, 64);

    public QueueCounters Counters { get; } = new();

    public PacketObserver Observer { get; } = new(RingCapacity);

    public MemoryFrameDevice Device { get; } = new();

    public MemoryUnderlay Underlay { get; } = new();

    /// <summary>Every inner frame that left in a datagram, its tunnel header cut off.</summary>
    public IEnumerable<byte[]> InnerFramesSent =>
        Underlay.Sent.SelectMany(train => train.Datagrams).Select(datagram => datagram[Segment.HeaderLength..]);

    /// <summary>10.244.<paramref name="node"/>.<paramref name="host"/>, host order.</summary>
    public static uint V4(int node, int host) => 0x0a_f4_00_00 | (uint)node << 8 | (uint)host;

    /// <summary>fd00:244:<paramref name="node"/>::<paramref name="host"/>.</summary>
    public static UInt128 V6(int node, int host) => new(0xfd00_0244_0000_0000 | (ulong)node << 16, (ulong)host);

    /// <summary>Puts the frame, whole, before the device: <see cref="Run"/> will take it.</summary>
    public void Deliver(byte[] frame, VirtioNetHeader offload = default) => Device.Deliver(frame, offload);

    /// <summary>Takes all that waits in the device, as a worker does.</summary>
    public void Run()
    {
        while (true)
        {
            Input.Clear();
            if (Device.Read(Input) == 0) return;
            for (int next = 0; next < Input.Count;)
            {
                next = Path.Process(Input, next, Segment, Output, Answers, Counters);
                Underlay.Send(Output);
                Path.Account(Output, Counters);
                Output.Clear();
            }
            Device.Write(Answers);
            Path.ShowAnswers(Answers);
            Answers.Clear();
        }
    }

    /// <summary>Drops on the way out, all reasons together.</summary>
    public long EgressDrops
    {
        get
        {
            long drops = 0;
            for (DropReason reason = 0; reason < DropReason.IngressMalformed; reason++) drops += Counters.Drops[(int)reason];
            return drops;
        }
    }

    public static Peer NewPeer(string name, UInt128 address, byte last) =>
        new(name, new UnderlayEndpoint(address, VxlanHeader.DefaultPort), new MacAddress([2, 0, 0, 0, 0, last]), new PeerTraffic(1));
}
