using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>Strict reverse path forwarding (RFC 3704, 2.2): whose route leads elsewhere, or nowhere, did not send through this peer.</summary>
public sealed class ReversePathTests
{
    private const uint Vni = 42;
    private const byte BehindB = 1;
    private const byte BehindC = 2;
    private const byte BehindBoth = 3;
    private const byte Local = 4;
    private const byte Blackhole = 5;
    private const byte Nowhere = 6;

    private static readonly UnderlayEndpoint B = new(IpBits.Mapped(0xc000_0202), 4789);
    private static readonly UnderlayEndpoint C = new(IpBits.Mapped(0xc000_0203), 4789);

    public static TheoryData<byte, bool> Sources => new()
    {
        { BehindB, true }, { BehindC, false }, { BehindBoth, true }, { Local, false }, { Blackhole, false }, { Nowhere, false },
    };

    [Theory]
    [MemberData(nameof(Sources))]
    public void Process_PeerThatIsChecked_PassesOnlyWhatItsRoutesLeadTo(byte source, bool passes)
    {
        foreach (Encapsulation encapsulation in Enum.GetValues<Encapsulation>())
        {
            foreach (bool isIpv6 in new[] { false, true })
            {
                var node = new Node(encapsulation, isChecked: true);
                byte[] frame = new PlainPacket { V6 = isIpv6, Host = source, Payload = new byte[100] }.Build();
                node.Run(B, frame);

                Assert.Equal(passes ? 1 : 0, node.Device.Written.Count);
                Assert.Equal(passes ? 0 : 1, node.Counters.Drops[(int)DropReason.IngressReversePath]);
                Assert.Equal(1, node.Counters.IngressIn.Packets);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Sources))]
    public void Process_PeerThatIsNotChecked_PassesEverything(byte source, bool passes)
    {
        var node = new Node(Encapsulation.IpInIp, isChecked: false);
        node.Run(B, new PlainPacket { V6 = passes, Host = source }.Build());

        Assert.Single(node.Device.Written);
    }

    [Fact]
    public void Process_PacketThatContinuesAnotherPeersRun_IsCheckedAllTheSame()
    {
        var node = new Node(Encapsulation.Vxlan, isChecked: true);
        var first = new PlainPacket { Host = BehindC, Payload = new byte[500] };
        node.Run((C, first.Build()), (B, first.Next(new byte[500]).Build()), (C, first.Next(new byte[500]).Build()));

        MemoryFrame joined = Assert.Single(node.Device.Written);
        Assert.Equal(first.HeadersLength + 1000, joined.Bytes.Length);
        Assert.Equal(1, node.Counters.Drops[(int)DropReason.IngressReversePath]);
        Assert.Equal(2, node.Counters.IngressOut.Packets);
    }

    [Fact]
    public void Process_FrameWithoutIp_HasNoSourceToCheck()
    {
        var node = new Node(Encapsulation.Vxlan, isChecked: true);
        byte[] arp = new byte[42];
        EthernetFrame.WriteHeader(arp, new MacAddress(PlainPacket.DeviceMac), new MacAddress(PlainPacket.PeerMac), EtherTypes.Arp);
        node.Run(B, arp);

        Assert.Single(node.Device.Written);
    }

    private sealed class Node
    {
        private readonly IngressPath _path = new(queue: 0);
        private readonly ReceiveBatch _batch = new(16);
        private readonly IngressPort[] _ports;
        private readonly ForwardingSnapshot _snapshot;
        private readonly MemoryUnderlay _underlay = new();
        private readonly Encapsulation _encapsulation;

        public Node(Encapsulation encapsulation, bool isChecked)
        {
            _encapsulation = encapsulation;
            Peer[] peers = [NewPeer("node-b", B, isChecked), NewPeer("node-c", C, isChecked)];
            (byte Host, int Value)[] routes =
            [
                (BehindB, 0), (BehindC, 1), (BehindBoth, new RouteTarget(RouteAction.Group).Value), (Local, new RouteTarget(RouteAction.Local).Value),
                (Blackhole, new RouteTarget(RouteAction.Blackhole).Value),
            ];
            RoutePrefix[] prefixes =
            [
                .. routes.Select(route => new RoutePrefix(IpBits.Mapped(0x0a00_0000u | route.Host), 32, route.Value)),
                .. routes.Select(route => new RoutePrefix(new UInt128(0xfd00_0000_0000_0000, route.Host), 128, route.Value)),
            ];
            // At another port than the peer that is found by its address, as in a segment of another encapsulation.
            Peer[] reached = [.. peers.Select(peer => peer.At(1000, peer.Mac))];
            var segment = new Segment(
                0, "pods", Vni, new MacAddress(PlainPacket.DeviceMac), 1450, new RouteTable(prefixes), reached, new TunnelFormat { Encapsulation = encapsulation })
            {
                Groups = [new PeerGroup([new GroupMember(0, "node-b", 1), new GroupMember(1, "node-c", 1)])],
            };
            _snapshot = new ForwardingSnapshot(1, [segment], new PeerTable(peers)) { IpInIpSegment = segment };
            _ports = [new IngressPort(16, Counters)];
        }

        public MemoryFrameDevice Device { get; } = new();

        public QueueCounters Counters { get; } = new();

        public void Run(UnderlayEndpoint from, byte[] frame) => Run((from, frame));

        public void Run(params (UnderlayEndpoint From, byte[] Frame)[] frames)
        {
            foreach ((UnderlayEndpoint from, byte[] frame) in frames) Deliver(from, frame);
            while (_underlay.Receive(_batch) > 0)
            {
                _path.Process(_batch, _snapshot, _ports, new QueueCounters());
                Device.Write(_ports[0].Frames);
                _ports[0].Account();
            }
        }

        private void Deliver(UnderlayEndpoint from, byte[] frame)
        {
            byte[] identifier = [0, 0, (byte)Vni, 0];
            switch (_encapsulation)
            {
                case Encapsulation.Vxlan:
                    _underlay.Deliver(from, [8, 0, 0, 0, .. identifier, .. frame]);
                    break;
                case Encapsulation.Geneve:
                    _underlay.Deliver(from, [0, 0, 0x65, 0x58, .. identifier, .. frame], encapsulation: Encapsulation.Geneve);
                    break;
                default:
                    _underlay.DeliverIpInIp(from, frame[14..], frame[12] == 8 ? IpProtocols.Ipv4InIp : IpProtocols.Ipv6InIp);
                    break;
            }
        }

        private static Peer NewPeer(string name, UnderlayEndpoint endpoint, bool isChecked) =>
            new(name, endpoint, new MacAddress(PlainPacket.PeerMac), new PeerTraffic(1)) { ChecksReversePath = isChecked };
    }
}
