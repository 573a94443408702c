using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Tests.Bridging;
using Overlay.Dataplane.Tests.Ingress;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Observation;

/// <summary>Nothing disappears without a reason: each one that exists is brought about here, counted, and seen by a capture of what is dropped.</summary>
public sealed class EveryDropReasonTests
{
    private static readonly PlainPacket Good = new() { Payload = new byte[100] };

    private static readonly MacAddress Host = BridgeFrames.Host(1), Other = BridgeFrames.Host(2);

    private static readonly Dictionary<DropReason, Func<Seen>> Cases = new()
    {
        [DropReason.EgressMalformed] = () => Egress(Frame().Finished()[..13]),
        [DropReason.EgressNotIp] = () => Egress([.. Frame().Finished()[..12], 0x88, 0xcc, .. new byte[46]]),
        [DropReason.EgressMulticast] = () => Egress((Frame() with { Destination = 0xe0000001 }).Finished()),
        [DropReason.EgressAddressProbe] = () => Egress(BridgeFrames.Arp(ArpOperation.Request, Host, 0, EgressLab.V4(2, 9))),
        [DropReason.EgressNoRoute] = () => Egress((Frame() with { Destination = EgressLab.V4(7, 1) }).Finished()),
        [DropReason.EgressRouteLocal] = () => Routed(RouteAction.Local),
        [DropReason.EgressRouteBlackhole] = () => Routed(RouteAction.Blackhole),
        [DropReason.EgressRouteUnreachable] = () => Routed(RouteAction.Unreachable),
        [DropReason.EgressRouteProhibited] = () => Routed(RouteAction.Prohibit),
        [DropReason.EgressTooBig] = () => Egress((Frame() with { Payload = new byte[65_490] }).Finished()),
        [DropReason.EgressExpired] = () => IpInIpEgress(frame => frame[14 + 8] = 0),
        [DropReason.EgressLoop] = () => Egress((Frame() with { Destination = 0xc000_0202 }).Finished(), new EgressLab(everythingTo: 2)),
        [DropReason.EgressEncapsulationLimit] = LimitReached,
        [DropReason.EgressBadOffload] = () => Egress(Frame().Unfinished(), offload: Frame().Offload(0) with { ChecksumStart = 60_000 }),
        [DropReason.EgressQueueFull] = () => Unsent(SendOutcome.QueueFull),
        [DropReason.EgressUnreachable] = () => Unsent(SendOutcome.Unreachable),
        [DropReason.EgressRefused] = () => Unsent(SendOutcome.Refused),
        [DropReason.EgressUnknownMac] = () => FromDevice(new() { FloodsUnknown = false }, BridgeFrames.Plain(Other, Host)),
        [DropReason.EgressUnknownNeighbor] = () => FromDevice(new() { FloodsUnknownNeighbours = false }, BridgeFrames.Arp(ArpOperation.Request, Host, EgressLab.V4(1, 1), EgressLab.V4(1, 2))),
        [DropReason.EgressLocalMac] = () => FromDevice(new(), BridgeFrames.Plain(Other, Host), BridgeFrames.Plain(Host, Other)),
        [DropReason.EgressSourceMac] = () => FromDevice(new(), BridgeFrames.Plain(Other, MacAddress.Broadcast)),
        [DropReason.EgressReservedMac] = () => FromDevice(new(), BridgeFrames.Plain(new MacAddress([1, 0x80, 0xc2, 0, 0, 0]), Host)),
        [DropReason.EgressSpoofedMac] = () => FromDevice(new() { Fixed = [(Host, 0)] }, BridgeFrames.Plain(Other, Host)),
        [DropReason.EgressNoFloodPeer] = () => FromDevice(new() { Flood = [] }, BridgeFrames.Plain(Other, Host)),

        [DropReason.IngressMalformed] = () => Ingress(IngressNode.Tunnel(Good.Build(), flags: 0)),
        [DropReason.IngressTunnelVersion] = () => Geneve(0x40, 0, 0x65, 0x58),
        [DropReason.IngressTunnelOptions] = () => Geneve(2, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 31, 0, 0, 0, 0),
        [DropReason.IngressCriticalOption] = () => Geneve(1, 0x40, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 0x85, 0),
        [DropReason.IngressControl] = () => Geneve(0, 0x80, 0x65, 0x58),
        [DropReason.IngressPayloadType] = () => Geneve(0, 0, 0x88, 0x47),
        [DropReason.IngressUnknownPeer] = () => Ingress(IngressNode.Tunnel(Good.Build()), IngressNode.Stranger),
        [DropReason.IngressUnknownSegment] = () => Ingress(IngressNode.Tunnel(Good.Build(), vni: 0xffffff)),
        [DropReason.IngressInnerMalformed] = () => Ingress(IngressNode.Tunnel(Good.Build()[..33])),
        [DropReason.IngressInnerVlan] = () => Ingress(IngressNode.Tunnel([.. Good.Build()[..12], 0x81, 0, 0, 7, .. Good.Build()[12..]])),
        [DropReason.IngressInnerMac] = () => Ingress(IngressNode.Tunnel((Good with { DestinationMac = [2, 0, 0, 0, 0, 0x0c] }).Build())),
        [DropReason.IngressSourceMac] = () => FromPeer(new(), BridgeFrames.Plain(Other, MacAddress.Broadcast)),
        [DropReason.IngressReservedMac] = () => FromPeer(new(), BridgeFrames.Plain(new MacAddress([1, 0x80, 0xc2, 0, 0, 0]), Host)),
        [DropReason.IngressSpoofedMac] = () => FromPeer(new(), BridgeFrames.Plain(Other, BridgeLab.OwnMac)),
        [DropReason.IngressInnerSource] = () => IpInIpIngress(packet => packet[12] = 127),
        [DropReason.IngressReversePath] = () => Ingress(
            IngressNode.Tunnel(Good.Build()), node: new IngressNode(new MacAddress(PlainPacket.DeviceMac), checksReversePath: true)),
        [DropReason.IngressExpired] = () => IpInIpIngress(packet => packet[8] = 0),
        [DropReason.IngressEcnConflict] = () => Ingress(IngressNode.Tunnel(Good.Build()), trafficClass: 3),
        [DropReason.IngressDeviceRefused] = () => Ingress(IngressNode.Tunnel(Good.Build()), room: 0),
    };

    public static TheoryData<DropReason> Reasons => [.. Enum.GetValues<DropReason>()];

    [Theory]
    [MemberData(nameof(Reasons))]
    public void Drop_OfEachReason_IsCountedAndCapturedAndInTheRing(DropReason reason)
    {
        Assert.True(Cases.ContainsKey(reason), $"{reason} is brought about by no test: add it to the cases");

        Seen seen = Cases[reason]();

        Assert.Equal(1, seen.Counted(reason));
        PacketRecord captured = Assert.Single(seen.Captured);
        Assert.Equal((PacketVerdict.Dropped, reason), (captured.Verdict, captured.Reason));
        Assert.Contains(seen.Ring, record => record.Reason == reason && record.Verdict == PacketVerdict.Dropped && record.Length == captured.Length);
        Assert.NotEmpty(DropReasons.Meaning(reason));
    }

    private static InnerFrame Frame() => new() { Source = EgressLab.LocalV4, Destination = EgressLab.V4(2, 9), Payload = [1, 2, 3] };

    private static Seen Egress(byte[] frame, EgressLab? lab = null, Overlay.Dataplane.Offload.VirtioNetHeader offload = default)
    {
        lab ??= new EgressLab();
        var seen = new Seen(lab.Observer, lab.Counters);
        lab.Deliver(frame, offload);
        lab.Run();
        return seen;
    }

    private static Seen Routed(RouteAction action) => Egress(Frame().Finished(), new EgressLab(segment: peers => new Segment(
        0, "pods", EgressLab.Vni, new MacAddress([2, 0, 0, 0, 0, 1]), 1450, new RouteTable([new RoutePrefix(IpBits.Mapped(0), 0, new RouteTarget(action).Value)]), peers, TunnelFormat.Vxlan)));

    private static Seen Unsent(SendOutcome outcome)
    {
        var lab = new EgressLab();
        lab.Underlay.Outcome = _ => outcome;
        return Egress(Frame().Finished(), lab);
    }

    private static Seen IpInIpEgress(Action<byte[]> change)
    {
        byte[] frame = Frame().Finished();
        change(frame);
        return Egress(frame, new EgressLab(format: new TunnelFormat { Encapsulation = Encapsulation.IpInIp }));
    }

    private static Seen LimitReached()
    {
        byte[] frame = (Frame() with { IsIpv6 = true, Source = EgressLab.LocalV6, Destination = EgressLab.V6(4, 9), Ipv6Extension = 8 }).Finished();
        byte[] option = [4, 1, 0, 1, 1, 0];
        option.CopyTo(frame, 14 + Ipv6Packet.HeaderLength + 2);
        return Egress(frame, new EgressLab(format: new TunnelFormat { Encapsulation = Encapsulation.IpInIp, EncapsulationLimit = 4 }));
    }

    private static Seen FromDevice(BridgeLabOptions options, params byte[][] frames)
    {
        var lab = new BridgeLab(options);
        var seen = new Seen(lab.Observer, lab.Counters);
        foreach (byte[] frame in frames) lab.FromDevice(frame);
        return seen;
    }

    private static Seen FromPeer(BridgeLabOptions options, byte[] frame)
    {
        var lab = new BridgeLab(options);
        var seen = new Seen(lab.Observer, lab.Counters);
        lab.FromPeer(0, frame);
        return seen;
    }

    private static Seen Ingress(byte[] datagram, UnderlayEndpoint? source = null, byte trafficClass = 0, int? room = null, Encapsulation encapsulation = Encapsulation.Vxlan, IngressNode? node = null)
    {
        node ??= new IngressNode();
        if (room is { } most) node.Device.Room = most;
        var seen = new Seen(node.Observer, node.Counters, node.Unassigned);
        node.Underlay.Deliver(source ?? IngressNode.PeerV4, datagram, trafficClass: trafficClass, encapsulation: encapsulation);
        node.Run();
        return seen;
    }

    private static Seen Geneve(params byte[] header)
    {
        byte[] whole = header.Length >= 8 ? header : [.. header, 0, 0, 42, 0];
        return Ingress([.. whole, .. Good.Build()], encapsulation: Encapsulation.Geneve);
    }

    private static Seen IpInIpIngress(Action<byte[]> change)
    {
        var node = new IngressNode(new MacAddress(PlainPacket.DeviceMac), new TunnelFormat { Encapsulation = Encapsulation.IpInIp });
        var seen = new Seen(node.Observer, node.Counters, node.Unassigned);
        byte[] packet = Good.Build()[14..];
        change(packet);
        node.Underlay.DeliverIpInIp(IngressNode.PeerV4 with { Port = 0 }, packet, IpProtocols.Ipv4InIp);
        node.Run();
        return seen;
    }

    /// <summary>What was counted and captured; begins to capture when it is made.</summary>
    private sealed class Seen
    {
        private readonly PacketObserver _observer;
        private readonly QueueCounters[] _counters;
        private readonly CaptureQueue _capture = new(new CaptureFilter { DroppedOnly = true }, snapLength: 65_536, records: 16, bytes: 1 << 20);

        public Seen(PacketObserver observer, params QueueCounters[] counters)
        {
            (_observer, _counters) = (observer, counters);
            observer.Captures = [_capture];
        }

        public IEnumerable<PacketRecord> Ring => _observer.Recent().Select(each => each.Record);

        public List<PacketRecord> Captured
        {
            get
            {
                var records = new List<PacketRecord>();
                while (_capture.TryPeek(out PacketRecord record, out _))
                {
                    records.Add(record);
                    _capture.Release();
                }
                return records;
            }
        }

        public long Counted(DropReason reason) => _counters.Sum(counters => counters.Drops[(int)reason]);
    }
}
