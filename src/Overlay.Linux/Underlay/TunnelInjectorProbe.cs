using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux.Interop;
using Overlay.Wire;

namespace Overlay.Linux.Underlay;

/// <summary>
/// A TCP super-packet that takes the egress path and the injector to an address routed back to the injecting device. That it comes out
/// there shows that the kernel takes the headers and that nothing on the host, such as a packet filter's forward chain, is in the way.
/// </summary>
internal sealed class TunnelInjectorProbe
{
    private const int PayloadLength = 3000;
    private const int SegmentSize = 1000;
    private const int HeadersLength = EthernetFrame.MinHeaderLength + Ipv4Packet.MinHeaderLength + TcpHeader.MinLength;
    private const ushort Port = VxlanHeader.DefaultPort;
    private const int DeadlineMilliseconds = 2000;

    private readonly EgressPath _egress;
    private readonly FrameBatch _frames = new(new PacketMemory(FrameBatch.MaxFrameLength + VxlanHeader.Length), VxlanHeader.Length, 1, 1);
    private readonly SendBatch _sends = new(4, 64);
    private readonly GatherBatch _answers = new(1, 1);
    private readonly Segment _segment;
    private readonly int _descriptor;
    private readonly uint _target;
    private readonly byte[] _received = GC.AllocateArray<byte>(VirtioTunnelHeader.Size + FrameBatch.MaxFrameLength, pinned: true);

    /// <param name="local">Outer source.</param>
    /// <param name="target">From <see cref="TargetBehind"/>; routed to the device with a permanent neighbour.</param>
    /// <param name="descriptor">Of the device; nobody else reads from it.</param>
    public TunnelInjectorProbe(IPAddress local, IPAddress target, int descriptor)
    {
        _descriptor = descriptor;
        _target = IpBits.V4(target);
        _egress = new EgressPath(new EgressOptions { SourcePorts = [49152], LocalV4 = IpBits.V4(local), TunnelSuperPackets = TunnelOffload.Ipv4 });
        var peer = new Peer("probe", new UnderlayEndpoint(IpBits.Mapped(_target), Port), TunnelInjection.DeviceMac, new PeerTraffic(1));
        var routes = new RouteTable([new RoutePrefix(IpBits.Mapped(0), 0, 0)]);
        _segment = new Segment(0, "probe", 0, TunnelInjection.SourceMac, SegmentSize, routes, [peer], TunnelFormat.Vxlan);
    }

    /// <summary>A link-local address (RFC 3927) that each device has to itself, for there is one route to an address.</summary>
    public static IPAddress TargetBehind(int interfaceIndex) => new([169, 254, (byte)(128 | ((interfaceIndex >> 8) & 0x3f)), (byte)interfaceIndex]);

    /// <returns>Null when it came back; otherwise what is in the way.</returns>
    public string? Run(TunnelInjector injector)
    {
        while (Read() > 0)
        {
        }
        _frames.Clear();
        _sends.Clear();
        WriteFrame();
        _egress.Process(_frames, 0, _segment, _sends, _answers, new QueueCounters());
        foreach (ref readonly DatagramTrain train in _sends.Trains)
        {
            SendOutcome outcome = injector.Send(_sends.Slices(train));
            if (outcome != SendOutcome.Sent) return $"the kernel takes no tunnel super-packet ({outcome})";
        }
        return CameBack()
            ? null
            : $"an injected packet was not forwarded within {DeadlineMilliseconds} ms: a packet filter's forward chain or a routing rule drops it; "
                + $"accept what comes in by {injector.Name}";
    }

    private void WriteFrame()
    {
        ref Frame frame = ref _frames.Next();
        frame.Offload = new VirtioNetHeader
        {
            Flags = VirtioNetFlags.NeedsChecksum,
            GsoType = VirtioGsoType.Tcp4,
            HeaderLength = HeadersLength,
            SegmentSize = SegmentSize,
            ChecksumStart = EthernetFrame.MinHeaderLength + Ipv4Packet.MinHeaderLength,
            ChecksumOffset = TcpHeader.ChecksumOffset,
        };
        Span<byte> bytes = _frames.Memory.Span(frame.Offset, HeadersLength + PayloadLength);
        bytes.Clear();
        EthernetFrame.WriteHeader(bytes, TunnelInjection.DeviceMac, TunnelInjection.SourceMac, EtherTypes.Ipv4);
        Ipv4Packet.WriteHeader(bytes[EthernetFrame.MinHeaderLength..], new Ipv4Fields
        {
            TotalLength = bytes.Length - EthernetFrame.MinHeaderLength,
            TimeToLive = 64,
            Protocol = IpProtocols.Tcp,
            Source = _target,
            Destination = _target,
        });
        Span<byte> tcp = bytes[(EthernetFrame.MinHeaderLength + Ipv4Packet.MinHeaderLength)..];
        TcpHeader.Write(tcp, new TcpFields { SourcePort = Port, DestinationPort = Port, Flags = TcpFlags.Ack });
        ulong pseudoHeader = InternetChecksum.PseudoHeaderV4(_target, _target, IpProtocols.Tcp, tcp.Length);
        MemoryMarshal.Write(tcp[TcpHeader.ChecksumOffset..], InternetChecksum.Fold(pseudoHeader));
        _frames.Commit(bytes.Length);
    }

    private bool CameBack()
    {
        using var poller = new Poller(_descriptor);
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            int left = DeadlineMilliseconds - (int)Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            if (left <= 0 || !poller.Wait(left)) return false;
            while (Read() is var length and > 0)
            {
                if (IsProbe(_received.AsSpan(0, length))) return true;
            }
        }
    }

    private bool IsProbe(ReadOnlySpan<byte> received)
    {
        const int network = VirtioTunnelHeader.Size + EthernetFrame.MinHeaderLength;
        return received.Length > network
            && Ipv4Packet.TryParse(received[network..], out Ipv4Packet ip) == WireStatus.Ok
            && ip.Protocol == IpProtocols.Udp
            && ip.Destination == _target
            && BinaryPrimitives.ReadUInt16BigEndian(ip.Payload[2..]) == Port;
    }

    private unsafe int Read()
    {
        fixed (byte* bytes = _received) return (int)Libc.Read(_descriptor, bytes, (nuint)_received.Length);
    }
}
