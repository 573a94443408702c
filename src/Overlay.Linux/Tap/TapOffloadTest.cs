using System.Diagnostics;
using System.Net;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Trials;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux.Interop;
using Overlay.Linux.Netlink;
using Overlay.Wire;

namespace Overlay.Linux.Tap;

/// <summary>Which offloads of TAP devices work.</summary>
/// <param name="Works">Null where that could not be found out.</param>
/// <param name="Obstacle">Why not.</param>
public readonly record struct TapOffloadFinding(TapOffloads? Works, string? Obstacle);

/// <summary>Changes what a device delivered: the bytes of a frame and what the device says of it.</summary>
internal delegate void FrameTamper(Span<byte> frame, ref VirtioNetHeader offload);

/// <summary>
/// Has the kernel forward packets from one TAP device to another, in a network namespace of its own that goes with it: packets with unfinished checksums,
/// and TCP and UDP super-packets. What comes out, cut by the egress path, must be what went in, with checksums that are right.
/// </summary>
public static class TapOffloadTest
{
    private const int SegmentSize = 1000;
    private const int SuperPayload = 3500;
    private const int Mtu = 1500;
    private const byte Hops = 64;
    private const int IpOffset = EthernetFrame.MinHeaderLength;
    private const int TransportOffset = IpOffset + Ipv4Packet.MinHeaderLength;

    // For benchmarks of network devices (RFC 2544, C.2.2), inside a namespace where nobody else is.
    private const uint Source = 0xc612_0001, Destination = 0xc613_0001;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(1);
    private static readonly MacAddress InnerMac = new([2, 0, 0, 0, 0, 1]), OuterMac = new([2, 0, 0, 0, 0, 2]), FarMac = new([2, 0, 0, 0, 0, 3]);
    private static readonly Segment Segment = new(
        0, "self-test", 0, OuterMac, Mtu, new RouteTable([new RoutePrefix(IpBits.Mapped(0), 0, 0)]),
        [new Peer("self-test", new UnderlayEndpoint(IpBits.Mapped(Source), VxlanHeader.DefaultPort), FarMac, new PeerTraffic(1))], TunnelFormat.Vxlan);

    /// <summary>Sets to try, best first, as devices are asked for them.</summary>
    private static readonly TapOffloads[] Sets = [TapOffloads.All, TapOffloads.All & ~(TapOffloads.Uso4 | TapOffloads.Uso6), TapOffloads.Checksum, TapOffloads.None];

    /// <summary>Takes some tens of milliseconds; where nothing arrives, some seconds.</summary>
    public static TapOffloadFinding Run() => Run(tamper: null);

    /// <inheritdoc cref="Run()"/>
    /// <param name="tamper">Plays a kernel that is broken; null: nobody does.</param>
    internal static TapOffloadFinding Run(FrameTamper? tamper)
    {
        TapOffloadFinding finding = default;
        // The thread ends in the namespace that it makes, and the namespace with it.
        var thread = new Thread(() => finding = Find(tamper)) { Name = "self-test", IsBackground = true };
        thread.Start();
        thread.Join();
        return finding;
    }

    private static TapOffloadFinding Find(FrameTamper? tamper)
    {
        if (Libc.Unshare(Files.CLONE_NEWNET) < 0)
            return new TapOffloadFinding(null, $"a network namespace to try it in cannot be made ({LinuxException.Describe(Marshal.GetLastSystemError())}); CAP_SYS_ADMIN would allow it");
        try
        {
            if (Sysctl.TrySet("net/ipv4/ip_forward", "1") is { } refusal) return new TapOffloadFinding(null, refusal);
            Sysctl.TrySet("net/ipv6/conf/default/disable_ipv6", "1");
            foreach (TapOffloads set in Sets)
            {
                if (Passes(set, tamper)) return new TapOffloadFinding(set, null);
            }
            return new TapOffloadFinding(null, "packets are not forwarded between TAP devices in a network namespace of its own");
        }
        catch (LinuxException exception)
        {
            return new TapOffloadFinding(null, exception.Message);
        }
    }

    private static bool Passes(TapOffloads set, FrameTamper? tamper)
    {
        using var netlink = new Rtnetlink();
        using TapDevice into = TapDevice.Open(new TapOptions { Name = "into" });
        using TapDevice outOf = TapDevice.Open(new TapOptions { Name = "outof", Offloads = set });
        foreach ((TapDevice device, MacAddress mac, uint address) in new[] { (into, InnerMac, Source), (outOf, OuterMac, Destination) })
        {
            netlink.SetMac(device.InterfaceIndex, mac);
            netlink.SetMtu(device.InterfaceIndex, Mtu);
            netlink.SetUp(device.InterfaceIndex, up: true);
            netlink.AddRoute(new Route(new IPNetwork(IpBits.ToAddress(IpBits.Mapped(address)), 32), device.InterfaceIndex));
        }
        netlink.SetNeighbour(new Neighbour(outOf.InterfaceIndex, IpBits.ToAddress(IpBits.Mapped(Destination)), FarMac));
        bool takesUdp = into.Offloads.HasFlag(TapOffloads.Uso4);
        return Passes(into.Queues[0], outOf.Queues[0], IpProtocols.Udp, SegmentSize, tamper)
            && Passes(into.Queues[0], outOf.Queues[0], IpProtocols.Tcp, SuperPayload, tamper)
            && (!takesUdp || Passes(into.Queues[0], outOf.Queues[0], IpProtocols.Udp, SuperPayload, tamper));
    }

    private static bool Passes(TapQueue into, TapQueue outOf, byte protocol, int length, FrameTamper? tamper)
    {
        byte[] payload = new byte[length];
        for (int i = 0; i < payload.Length; i++) payload[i] = (byte)((i * 31) ^ (i >> 8));
        var memory = new PacketMemory(FrameBatch.MaxFrameLength);
        int size = Write(memory.Span(0, FrameBatch.MaxFrameLength), protocol, payload, out VirtioNetHeader offload);
        var sent = new GatherBatch(1, 1);
        sent.Add(offload, [memory.Slice(0, size)], size);
        return into.Write(sent) == 1 && Arrives(outOf, protocol, payload, tamper);
    }

    private static int Write(Span<byte> frame, byte protocol, ReadOnlySpan<byte> payload, out VirtioNetHeader offload)
    {
        bool isTcp = protocol == IpProtocols.Tcp;
        int headers = TransportOffset + (isTcp ? TcpHeader.MinLength : UdpHeader.HeaderLength);
        frame = frame[..(headers + payload.Length)];
        EthernetFrame.WriteHeader(frame, InnerMac, FarMac, EtherTypes.Ipv4);
        Ipv4Packet.WriteHeader(frame[IpOffset..], new Ipv4Fields
        {
            TotalLength = frame.Length - IpOffset,
            TimeToLive = Hops,
            Protocol = protocol,
            Source = Source,
            Destination = Destination,
        });
        Span<byte> transport = frame[TransportOffset..];
        if (isTcp) TcpHeader.Write(transport, new TcpFields { SourcePort = 1, DestinationPort = 2, Flags = TcpFlags.Ack });
        else UdpHeader.Write(transport, 1, 2, transport.Length);
        payload.CopyTo(frame[headers..]);
        int field = isTcp ? TcpHeader.ChecksumOffset : UdpHeader.ChecksumOffset;
        InternetChecksum.Store(transport[field..], InternetChecksum.Fold(InternetChecksum.PseudoHeaderV4(Source, Destination, protocol, transport.Length)));
        offload = new VirtioNetHeader { Flags = VirtioNetFlags.NeedsChecksum, ChecksumStart = TransportOffset, ChecksumOffset = (ushort)field };
        if (payload.Length > SegmentSize)
        {
            offload.GsoType = isTcp ? VirtioGsoType.Tcp4 : VirtioGsoType.Udp;
            offload.SegmentSize = SegmentSize;
            offload.HeaderLength = (ushort)headers;
        }
        return frame.Length;
    }

    private static bool Arrives(TapQueue queue, byte protocol, ReadOnlySpan<byte> payload, FrameTamper? tamper)
    {
        using var poller = new Poller(queue.FileDescriptor);
        var frames = new FrameBatch(new PacketMemory(4 * FrameBatch.MaxFrameLength), 0, capacity: 16, superPacketLimit: 4);
        int taken = 0;
        long start = Stopwatch.GetTimestamp();
        while (taken < payload.Length)
        {
            int left = (int)(Deadline - Stopwatch.GetElapsedTime(start)).TotalMilliseconds;
            if (left <= 0) return false;
            frames.Clear();
            if (queue.Read(frames) == 0) poller.Wait(left);
            foreach (Frame frame in frames.Frames)
            {
                Span<byte> bytes = frames.Memory.Span(frame.Offset, frame.Length);
                // The kernel speaks IPv6 on the device by itself where it may not be told otherwise.
                if (EthernetFrame.TryParse(bytes, out EthernetFrame ethernet) != WireStatus.Ok || ethernet.EtherType != EtherTypes.Ipv4) continue;
                VirtioNetHeader offload = frame.Offload;
                tamper?.Invoke(bytes, ref offload);
                if (!TryTake(bytes, offload, protocol, payload, ref taken)) return false;
            }
        }
        return true;
    }

    /// <summary>Cuts a frame as if it were sent to a peer, and holds each packet against what is to come next.</summary>
    private static bool TryTake(ReadOnlySpan<byte> frame, in VirtioNetHeader offload, byte protocol, ReadOnlySpan<byte> payload, ref int taken)
    {
        EgressTrialResult cut = EgressTrial.Run(new EgressOptions { SourcePorts = [VxlanHeader.DefaultPort] }, Segment, frame, offload, new SendBatch(16, 256));
        foreach (byte[] datagram in cut.Trains.SelectMany(train => train.Datagrams))
        {
            ReadOnlySpan<byte> inner = datagram.AsSpan(VxlanHeader.Length);
            if (InnerPacket.TryParse(inner, out InnerPacket packet) != WireStatus.Ok || !packet.IsIpv4 || !packet.HasTransport) return false;
            ReadOnlySpan<byte> message = inner[packet.TransportOffset..packet.End];
            int part = packet.End - packet.HeadersEnd;
            if (packet.Protocol != protocol || part > SegmentSize || part > payload.Length - taken) return false;
            if (!InternetChecksum.IsValid(InternetChecksum.Add(inner[packet.NetworkOffset..packet.TransportOffset]))) return false;
            if (!InternetChecksum.IsValid(InternetChecksum.Add(message, InternetChecksum.PseudoHeaderV4(Source, Destination, protocol, message.Length)))) return false;
            if (!inner[packet.HeadersEnd..packet.End].SequenceEqual(payload.Slice(taken, part))) return false;
            taken += part;
        }
        return cut.Drop is null;
    }
}
