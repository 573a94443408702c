using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
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
/// TCP super-packets, one an outer family, that take the egress path and the injector to an address routed back to the injecting device.
/// That they come out there shows that the kernel takes the headers and that nothing on the host, such as a packet filter's forward chain,
/// is in the way.
/// </summary>
internal sealed class TunnelInjectorProbe : IDisposable
{
    private const int PayloadLength = 3000;
    private const int SegmentSize = 1000;
    private const int HeadersLength = EthernetFrame.MinHeaderLength + Ipv4Packet.MinHeaderLength + TcpHeader.MinLength;
    private const ushort Port = VxlanHeader.DefaultPort;
    private const int DeadlineMilliseconds = 2000;

    /// <summary>Inside the probe, 192.0.2.1 (RFC 5737): what is for the tunnel's own end would not be sent into it.</summary>
    private const uint InnerAddress = 0xc000_0201;

    private readonly EgressPath _egress;
    private readonly FrameBatch _frames = new(new PacketMemory(FrameBatch.MaxFrameLength + VxlanHeader.Length), VxlanHeader.Length, 1, 1);
    private readonly SendBatch _sends = new(4, 64);
    private readonly GatherBatch _answers = new(1, 1);
    private readonly Dictionary<TunnelOffload, Segment> _segments = [];
    private readonly int _descriptor;
    private readonly Poller _poller;
    private readonly uint _targetV4;
    private readonly UInt128 _targetV6;
    private readonly byte[] _received = GC.AllocateArray<byte>(VirtioTunnelHeader.Size + FrameBatch.MaxFrameLength, pinned: true);

    /// <param name="locals">Outer sources, one a family that is to be probed.</param>
    /// <param name="interfaceIndex">Of the device, to which what <see cref="TargetBehind"/> gives is routed, with permanent neighbours.</param>
    /// <param name="descriptor">Of the device; nobody else reads from it.</param>
    public TunnelInjectorProbe(IReadOnlyList<IPAddress> locals, int interfaceIndex, int descriptor)
    {
        _descriptor = descriptor;
        _poller = new Poller(descriptor);
        _targetV4 = IpBits.V4(TargetBehind(interfaceIndex, AddressFamily.InterNetwork));
        _targetV6 = IpBits.V6OrMapped(TargetBehind(interfaceIndex, AddressFamily.InterNetworkV6));
        _egress = new EgressPath(new EgressOptions
        {
            SourcePorts = [49152],
            LocalV4 = locals.Where(local => local.AddressFamily == AddressFamily.InterNetwork).Select(IpBits.V4).FirstOrDefault(),
            LocalV6 = locals.Where(local => local.AddressFamily == AddressFamily.InterNetworkV6).Select(IpBits.V6OrMapped).FirstOrDefault(),
            TunnelSuperPackets = TunnelOffload.Ipv4 | TunnelOffload.Ipv6,
        });
        foreach (IPAddress local in locals)
        {
            bool isIpv4 = local.AddressFamily == AddressFamily.InterNetwork;
            _segments.Add(isIpv4 ? TunnelOffload.Ipv4 : TunnelOffload.Ipv6, SegmentTo(isIpv4 ? IpBits.Mapped(_targetV4) : _targetV6));
        }
    }

    /// <summary>
    /// An address that each device has to itself, for there is one route to an address: link-local (RFC 3927) or for discarding (RFC 6666),
    /// the IPv6 addresses that are nobody's.
    /// </summary>
    public static IPAddress TargetBehind(int interfaceIndex, AddressFamily family) => family == AddressFamily.InterNetwork
        ? new([169, 254, (byte)(128 | ((interfaceIndex >> 8) & 0x3f)), (byte)interfaceIndex])
        : IpBits.ToAddress(((UInt128)0x0100 << 112) | (UInt128)0x4f56 << 32 | (uint)interfaceIndex);

    /// <summary>Takes two seconds at most.</summary>
    /// <param name="injector">The device.</param>
    /// <param name="stop">Ends the wait.</param>
    /// <param name="refusal">Null when all came back; otherwise what is in the way.</param>
    /// <returns>Families that came back.</returns>
    public TunnelOffload Run(TunnelInjector injector, CancellationToken stop, out string? refusal)
    {
        refusal = null;
        while (Read() > 0)
        {
        }
        TunnelOffload sent = TunnelOffload.None;
        foreach ((TunnelOffload family, Segment segment) in _segments)
        {
            SendOutcome outcome = Send(injector, segment);
            if (outcome == SendOutcome.Sent) sent |= family;
            else refusal = $"the kernel takes no tunnel super-packet over {Name(family)} ({outcome})";
        }
        TunnelOffload back = CameBack(sent, stop);
        if (back != sent)
        {
            refusal = $"an injected {Name(sent & ~back)} packet was not forwarded within {DeadlineMilliseconds} ms: a packet filter's forward chain or a "
                + $"routing rule drops it; accept what comes in by {injector.Name}";
        }
        return back;
    }

    public void Dispose() => _poller.Dispose();

    private static Segment SegmentTo(UInt128 target)
    {
        var peer = new Peer("probe", new UnderlayEndpoint(target, Port), TunnelInjection.DeviceMac, new PeerTraffic(1));
        var routes = new RouteTable([new RoutePrefix(IpBits.Mapped(0), 0, 0)]);
        return new Segment(0, "probe", 0, TunnelInjection.SourceMac, SegmentSize, routes, [peer], TunnelFormat.Vxlan);
    }

    private SendOutcome Send(TunnelInjector injector, Segment segment)
    {
        _frames.Clear();
        _sends.Clear();
        WriteFrame();
        _egress.Process(_frames, 0, segment, _sends, _answers, new QueueCounters());
        return injector.Send(_sends.Slices(_sends.Trains[0]));
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
            Source = InnerAddress,
            Destination = InnerAddress,
        });
        Span<byte> tcp = bytes[(EthernetFrame.MinHeaderLength + Ipv4Packet.MinHeaderLength)..];
        TcpHeader.Write(tcp, new TcpFields { SourcePort = Port, DestinationPort = Port, Flags = TcpFlags.Ack });
        ulong pseudoHeader = InternetChecksum.PseudoHeaderV4(InnerAddress, InnerAddress, IpProtocols.Tcp, tcp.Length);
        MemoryMarshal.Write(tcp[TcpHeader.ChecksumOffset..], InternetChecksum.Fold(pseudoHeader));
        _frames.Commit(bytes.Length);
    }

    private static string Name(TunnelOffload families) => families switch
    {
        TunnelOffload.Ipv4 => "IPv4",
        TunnelOffload.Ipv6 => "IPv6",
        _ => "IPv4 and IPv6",
    };

    /// <returns>Those of the families whose packets came back.</returns>
    private TunnelOffload CameBack(TunnelOffload sent, CancellationToken stop)
    {
        using CancellationTokenRegistration wake = stop.Register(_poller.Wake);
        long start = Stopwatch.GetTimestamp();
        TunnelOffload back = TunnelOffload.None;
        while (back != sent && !stop.IsCancellationRequested)
        {
            int left = DeadlineMilliseconds - (int)Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            if (left <= 0 || !_poller.Wait(left)) break;
            while (Read() is var length and > 0) back |= FamilyOf(_received.AsSpan(0, length));
        }
        return back & sent;
    }

    /// <returns>The outer family of a probe; none of anything else.</returns>
    private TunnelOffload FamilyOf(ReadOnlySpan<byte> received)
    {
        const int network = VirtioTunnelHeader.Size + EthernetFrame.MinHeaderLength;
        if (received.Length <= network) return TunnelOffload.None;
        ReadOnlySpan<byte> packet = received[network..];
        if (Ipv4Packet.TryParse(packet, out Ipv4Packet ipv4) == WireStatus.Ok)
            return ipv4.Protocol == IpProtocols.Udp && ipv4.Destination == _targetV4 && IsToPort(ipv4.Payload) ? TunnelOffload.Ipv4 : TunnelOffload.None;
        return Ipv6Packet.TryParse(packet, out Ipv6Packet ipv6) == WireStatus.Ok
            && ipv6.NextHeader == IpProtocols.Udp && ipv6.Destination == _targetV6 && IsToPort(ipv6.Payload)
                ? TunnelOffload.Ipv6
                : TunnelOffload.None;
    }

    private static bool IsToPort(ReadOnlySpan<byte> udp) => udp.Length >= UdpHeader.HeaderLength && BinaryPrimitives.ReadUInt16BigEndian(udp[2..]) == Port;

    private unsafe int Read()
    {
        fixed (byte* bytes = _received) return (int)Libc.Read(_descriptor, bytes, (nuint)_received.Length);
    }
}
