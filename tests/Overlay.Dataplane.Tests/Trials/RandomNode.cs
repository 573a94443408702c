using System.Runtime.InteropServices;
using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Trials;

/// <summary>A node of any configuration, and frames that its device might hand over.</summary>
internal sealed class RandomNode
{
    private const uint Vni = 42;
    private const int SourcePorts = 256;

    private static readonly RouteAction[] Refusals = [RouteAction.Local, RouteAction.Blackhole, RouteAction.Unreachable, RouteAction.Prohibit];

    private readonly Random _random;

    public RandomNode(Random random)
    {
        _random = random;
        TunnelFormat format = Format();
        bool isBridged = !format.IsBareIp && random.Next(4) == 0;
        Peer[] peers = [Peer("node-b", IpBits.Mapped(0xc000_0202), 2), Peer("node-c", IpBits.Mapped(0xc000_0203), 3), Peer("node-d", new UInt128(0x2001_0db8_0000_0000, 4), 4)];
        Segment = new Segment(0, "pods", Vni, new MacAddress([2, 0, 0, 0, 0, 1]), random.Next(1280, 1500), Routes(), peers, format)
        {
            Groups = [new PeerGroup([.. peers.Select((peer, index) => new GroupMember(index, peer.Name, random.Next(1, 4)))])],
            Bridge = isBridged ? Bridge(peers) : null,
        };
        Snapshot = new ForwardingSnapshot(1, [Segment], new PeerTable(peers))
        {
            IpInIpSegment = format.IsIpInIp ? Segment : null,
            OwnAddresses = [IpBits.Mapped(EgressLab.LocalOuterV4), EgressLab.LocalOuterV6],
        };
        Options = new EgressOptions
        {
            SourcePorts = [.. Enumerable.Range(50_000, SourcePorts).Select(port => (ushort)port)],
            TrafficClass = (byte)random.Next(256),
            CopiesDscp = random.Next(2) == 0,
            TimeToLive = (byte)random.Next(1, 256),
            CopiesTimeToLive = random.Next(3) == 0,
            TunnelSuperPackets = (TunnelOffload)random.Next(4),
            LocalV4 = EgressLab.LocalOuterV4,
            LocalV6 = EgressLab.LocalOuterV6,
        };
    }

    public Segment Segment { get; }

    public ForwardingSnapshot Snapshot { get; }

    public EgressOptions Options { get; }

    /// <summary>What arrives at a peer from here, where the two do not quite agree on the segment.</summary>
    /// <param name="peer">As <see cref="Segment"/> reaches it.</param>
    public ForwardingSnapshot At(Peer peer)
    {
        var self = new Peer(
            "node-a", new UnderlayEndpoint(peer.Endpoint.IsIPv4 ? IpBits.Mapped(EgressLab.LocalOuterV4) : EgressLab.LocalOuterV6, peer.Endpoint.Port),
            Segment.DeviceMac, new PeerTraffic(1))
        {
            ChecksReversePath = _random.Next(4) == 0,
        };
        RoutePrefix[] back = _random.Next(2) == 0 ? [] : [new RoutePrefix(IpBits.Mapped(EgressLab.V4(1, 0)), 24, 0), new RoutePrefix(EgressLab.V6(1, 0), 64, 0)];
        uint vni = _random.Next(8) == 0 ? Vni + 1 : Vni;
        MacAddress mac = _random.Next(8) == 0 ? new MacAddress([2, 0, 0, 0, 0, 9]) : peer.Mac;
        var there = new Segment(0, "pods", vni, mac, Segment.Mtu, new RouteTable(back), [self], _random.Next(8) == 0 ? TunnelFormat.Vxlan : Segment.Tunnel);
        return new ForwardingSnapshot(1, [there], new PeerTable(_random.Next(8) == 0 ? [] : [self])) { IpInIpSegment = there, OwnAddresses = [peer.Endpoint.Address] };
    }

    /// <summary>Any frame: sound ones for every route, super-packets, and garbage.</summary>
    public byte[] Frame(out VirtioNetHeader offload)
    {
        offload = default;
        byte[] bytes;
        if (_random.Next(4) == 0)
        {
            bytes = new byte[RandomFrames.MaxLength];
            bytes = bytes[..RandomFrames.Write(_random, bytes)];
            if (_random.Next(2) == 0) bytes = bytes[.._random.Next(1, bytes.Length)];
            if (_random.Next(4) == 0) _random.NextBytes(MemoryMarshal.AsBytes(MemoryMarshal.CreateSpan(ref offload, 1)));
            return bytes;
        }
        bool isIpv6 = _random.Next(2) == 0;
        int node = _random.Next(1, 11);
        bool isUdp = _random.Next(2) == 0;
        bool isSyn = !isUdp && _random.Next(3) == 0;
        var frame = new InnerFrame
        {
            IsIpv6 = isIpv6,
            IsUdp = isUdp,
            Source = isIpv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
            Destination = isIpv6 ? EgressLab.V6(node, 9) : EgressLab.V4(node, 9),
            SourcePort = (ushort)_random.Next(1, 65_536),
            TrafficClass = (byte)_random.Next(256),
            Flags = isSyn ? TcpFlags.Syn : TcpFlags.Ack,
            TcpOptions = isSyn ? [TcpOptionReader.MaximumSegmentSize, 4, 5, 180] : [],
            Tags = _random.Next(8) == 0 ? [new VlanTag(EtherTypes.Vlan, 7)] : [],
            Payload = new byte[isSyn ? 0 : _random.Next(4) == 0 ? _random.Next(20_000) : _random.Next(1600)],
        };
        _random.NextBytes(frame.Payload);
        offload = frame.Offload(isSyn || _random.Next(3) > 0 ? 0 : _random.Next(8, 1500));
        bytes = frame.Unfinished();
        bool hasDontFragment = _random.Next(2) == 0;
        if (!isIpv6 && !hasDontFragment)
        {
            bytes[frame.NetworkOffset + 6] = 0;
            Ipv4Packet.Resize(bytes.AsSpan(frame.NetworkOffset, Ipv4Packet.MinHeaderLength), bytes.Length - frame.NetworkOffset, 0x1234);
        }
        if (Segment.Bridge is not null && _random.Next(3) > 0) new MacAddress([2, 0, 0, 0, 0, (byte)_random.Next(2, 5)]).CopyTo(bytes);
        if (_random.Next(10) == 0) bytes[_random.Next(bytes.Length)] = (byte)_random.Next(256);
        return bytes;
    }

    private TunnelFormat Format() => _random.Next(6) switch
    {
        0 => new TunnelFormat { GroupPolicy = 513 },
        1 => new TunnelFormat { KeepsVlanTags = true },
        2 => new TunnelFormat { Encapsulation = Encapsulation.Geneve, IsBareIp = _random.Next(2) == 0 },
        3 => new TunnelFormat { Encapsulation = Encapsulation.Geneve, GeneveOptions = Option() },
        4 => new TunnelFormat { Encapsulation = Encapsulation.IpInIp, EncapsulationLimit = _random.Next(2) == 0 ? null : (byte)_random.Next(5) },
        _ => TunnelFormat.Vxlan,
    };

    private static byte[] Option()
    {
        byte[] option = new byte[8];
        GeneveOption.Write(option, 0x0102, 0x83, [1, 2, 3, 4]);
        return option;
    }

    private Peer Peer(string name, UInt128 address, byte last) =>
        new(name, new UnderlayEndpoint(address, VxlanHeader.DefaultPort), new MacAddress([2, 0, 0, 0, 0, last]), new PeerTraffic(1))
        {
            Path = _random.Next(3) == 0 ? new PeerPath() : new PeerPath { LinkMtu = 1500, FoundMtu = _random.Next(600, 1500), LeadsBack = _random.Next(10) == 0 },
            MtuPolicy = new MtuPolicy { MssClamp = _random.Next(3) == 0 ? _random.Next(0, 1400) : null, FragmentsInner = _random.Next(3) > 0 },
        };

    private RouteTable Routes()
    {
        var prefixes = new List<RoutePrefix>();
        for (int node = 2; node < 10; node++)
        {
            RouteTarget target = _random.Next(8) switch
            {
                0 => new RouteTarget(Refusals[_random.Next(Refusals.Length)]),
                < 3 => new RouteTarget(RouteAction.Group),
                _ => new RouteTarget(RouteAction.Peer, _random.Next(3)),
            };
            prefixes.Add(new RoutePrefix(IpBits.Mapped(EgressLab.V4(node, 0)), 24, target.Value));
            prefixes.Add(new RoutePrefix(EgressLab.V6(node, 0), 64, target.Value));
        }
        if (_random.Next(2) == 0) prefixes.Add(new RoutePrefix(IpBits.Mapped(0), 0, new RouteTarget(RouteAction.Peer).Value));
        return new RouteTable(prefixes);
    }

    private Bridge Bridge(Peer[] peers) => new(
        new MacAddress([2, 0, 0, 0, 0, 1]), [.. peers.Select((peer, index) => (index + 1, peer, peer))], _random.Next(4) == 0 ? [] : [1, 2, 3],
        [(new MacAddress([2, 0, 0, 0, 0, 2]), 1)],
        [(IpBits.Mapped(EgressLab.V4(3, 9)), new BridgeNeighbour(new MacAddress([2, 0, 0, 0, 0, 2]), false))])
    {
        Learned = _random.Next(3) == 0 ? null : new MacTable(64),
        AgeingSeconds = 300,
        FloodsUnknown = _random.Next(3) > 0,
        FloodsUnknownNeighbours = _random.Next(3) > 0,
        LastNumber = 3,
    };
}
