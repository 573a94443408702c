using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Agent.Forwarding;

/// <summary>
/// Takes made-up packets through both ways in memory, in each format that is in use, so that the runtime has compiled the code before the
/// first real packet comes and need not wait. Nothing of it is counted or leaves.
/// </summary>
internal static class PathWarmUp
{
    private const int SegmentSize = 1000;
    private const int Mtu = 1400;
    private const int Trains = 16;
    private const uint Vni = 1;

    private static readonly MacAddress Mac = new([2, 0, 0, 0, 0, 1]);

    /// <summary>Of the two nodes: addresses for documentation (RFC 5737, 3849).</summary>
    private static readonly UInt128 NodeV4 = IpBits.Mapped(0xc0000201), PeerV4 = IpBits.Mapped(0xc0000202);
    private static readonly UInt128 NodeV6 = ((UInt128)0x20010db8 << 96) | 1, PeerV6 = NodeV6 + 1;

    /// <summary>Of what is carried: private ones (RFC 1918, 4193).</summary>
    private const uint InnerV4 = 0x0a000001;
    private static readonly UInt128 InnerV6 = ((UInt128)0xfd << 120) | 1;

    /// <summary>The kinds of packets, most in use first; the first two are super-packets.</summary>
    private static readonly (bool IsIpv6, byte Protocol, int Payload)[] Packets =
    [
        (false, IpProtocols.Tcp, 3 * SegmentSize), (true, IpProtocols.Tcp, 3 * SegmentSize),
        (false, IpProtocols.Tcp, 0), (true, IpProtocols.Tcp, 0),
        (false, IpProtocols.Udp, 64), (false, IpProtocols.Udp, 64), (true, IpProtocols.Udp, 64),
        (false, IpProtocols.Icmpv4, 64), (true, IpProtocols.Icmpv6, 64),
    ];

    /// <summary>Takes some tens of milliseconds, nearly all of them the compiler's.</summary>
    public static void Run(IEnumerable<TunnelFormat> formats)
    {
        foreach (TunnelFormat format in formats)
        {
            Run(format, PeerV4);
            Run(format, PeerV6);
        }
    }

    private static void Run(TunnelFormat format, UInt128 remote)
    {
        var peer = new Peer("warm-up", new UnderlayEndpoint(remote, VxlanHeader.DefaultPort), Mac, new PeerTraffic(1));
        var routes = new RouteTable([new RoutePrefix(IpBits.Mapped(0), 0, 0), new RoutePrefix(0, 0, 0)]);
        var segment = new Segment(0, "warm-up", Vni, Mac, Mtu, routes, [peer], format);
        var snapshot = new ForwardingSnapshot(1, [segment], new PeerTable([peer])) { IpInIpSegment = format.IsIpInIp ? segment : null };
        var observer = new PacketObserver(Packets.Length);
        var path = new EgressPath(new EgressOptions { SourcePorts = [49152], LocalV4 = (uint)NodeV4, LocalV6 = NodeV6 }) { Observer = observer };
        var frames = new FrameBatch(new PacketMemory(Packets.Length * FrameBatch.MaxFrameLength), segment.Headroom, Packets.Length, Packets.Length);
        var sends = new SendBatch(64, 256);
        var received = new ReceiveBatch(Trains);
        var counters = new QueueCounters();
        var answers = new GatherBatch(Packets.Length, Packets.Length);

        foreach (TunnelOffload kernel in (ReadOnlySpan<TunnelOffload>)[TunnelOffload.Ipv4 | TunnelOffload.Ipv6, TunnelOffload.None])
        {
            path.TunnelSuperPackets = kernel;
            foreach ((bool isIpv6, byte protocol, int payload) in Packets) Add(frames, isIpv6, protocol, payload);
            for (int next = 0; next < frames.Count;)
            {
                next = path.Process(frames, next, segment, sends, answers, counters);
                foreach (ref readonly DatagramTrain train in sends.Trains) Deliver(sends, train, received, format.Encapsulation);
                path.Account(sends, counters);
                sends.Clear();
            }
            frames.Clear();
        }
        var port = new IngressPort(Trains, counters);
        new IngressPath(0) { Observer = observer }.Process(received, snapshot, [port], counters);
        observer.Delivered(port, segment, received.Memory);
        port.Account();
    }

    /// <summary>Adds a frame to this node's peer as a device gives it: with its checksum unfinished, of TCP as a super-packet.</summary>
    private static void Add(FrameBatch frames, bool isIpv6, byte protocol, int payload)
    {
        const int network = EthernetFrame.MinHeaderLength;
        int transport = network + (isIpv6 ? Ipv6Packet.HeaderLength : Ipv4Packet.MinHeaderLength);
        int header = protocol == IpProtocols.Tcp ? TcpHeader.MinLength : UdpHeader.HeaderLength;
        int length = transport + header + payload;
        ref Frame frame = ref frames.Next();
        Span<byte> bytes = frames.Memory.Span(frame.Offset, length);
        bytes.Clear();
        EthernetFrame.WriteHeader(bytes, Mac, Mac, isIpv6 ? EtherTypes.Ipv6 : EtherTypes.Ipv4);
        if (isIpv6) WriteV6(bytes[network..], protocol, header + payload);
        else WriteV4(bytes[network..], protocol, header + payload);

        Span<byte> message = bytes[transport..];
        if (protocol == IpProtocols.Tcp) TcpHeader.Write(message, new TcpFields { SourcePort = 1, DestinationPort = 1, Flags = TcpFlags.Ack });
        else if (protocol == IpProtocols.Udp) UdpHeader.Write(message, 1, 1, message.Length);
        frame.Offload = default;
        if (protocol is IpProtocols.Tcp or IpProtocols.Udp)
        {
            int checksum = protocol == IpProtocols.Tcp ? TcpHeader.ChecksumOffset : UdpHeader.ChecksumOffset;
            ulong pseudoHeader = isIpv6
                ? InternetChecksum.PseudoHeaderV6(InnerV6, InnerV6, protocol, message.Length)
                : InternetChecksum.PseudoHeaderV4(InnerV4, InnerV4, protocol, message.Length);
            MemoryMarshal.Write(message[checksum..], InternetChecksum.Fold(pseudoHeader));
            frame.Offload = new VirtioNetHeader
            {
                Flags = VirtioNetFlags.NeedsChecksum,
                GsoType = payload <= SegmentSize ? VirtioGsoType.None : isIpv6 ? VirtioGsoType.Tcp6 : VirtioGsoType.Tcp4,
                HeaderLength = (ushort)(transport + header),
                SegmentSize = (ushort)(payload <= SegmentSize ? 0 : SegmentSize),
                ChecksumStart = (ushort)transport,
                ChecksumOffset = (ushort)checksum,
            };
        }
        frames.Commit(length);
    }

    private static void WriteV4(Span<byte> packet, byte protocol, int payload) => Ipv4Packet.WriteHeader(packet, new Ipv4Fields
    {
        TotalLength = Ipv4Packet.MinHeaderLength + payload,
        DontFragment = true,
        TimeToLive = 64,
        Protocol = protocol,
        Source = InnerV4,
        Destination = InnerV4,
    });

    private static void WriteV6(Span<byte> packet, byte protocol, int payload) => Ipv6Packet.WriteHeader(packet, new Ipv6Fields
    {
        PayloadLength = payload,
        NextHeader = protocol,
        HopLimit = 64,
        Source = InnerV6,
        Destination = InnerV6,
    });

    /// <summary>Lays the datagrams of a train where they would be received, as if its peer had sent them.</summary>
    private static void Deliver(SendBatch sends, in DatagramTrain train, ReceiveBatch received, Encapsulation encapsulation)
    {
        if (train.Kind != TrainKind.Datagrams || received.Count == received.Capacity) return;
        int slot = received.Count++;
        ref ReceivedTrain arrived = ref received.Slots[slot];
        arrived = new ReceivedTrain
        {
            Offset = ReceiveBatch.SlotOffset(slot),
            SegmentSize = train.SegmentSize == 0 ? train.Length : train.SegmentSize,
            Source = train.Peer.Endpoint,
            TrafficClass = train.TrafficClass,
            Encapsulation = encapsulation,
            Protocol = train.Protocol,
        };
        foreach (BufferSlice slice in sends.Slices(train))
        {
            byte[] bytes = new byte[slice.Length];
            Marshal.Copy(slice.Address, bytes, 0, bytes.Length);
            bytes.CopyTo(received.Memory.Span(arrived.Offset + arrived.Length, bytes.Length));
            arrived.Length += bytes.Length;
        }
    }
}
