using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Offload;
using Overlay.Linux.Netlink;
using Overlay.Linux.Tap;
using Overlay.Wire;

namespace Overlay.Linux.Tests.Support;

/// <summary>A TAP device at 198.51.100.1 and, played by the test behind it, a node at 198.51.100.2.</summary>
internal sealed class TapNode : IDisposable
{
    public static readonly IPAddress LocalAddress = IPAddress.Parse("198.51.100.1");
    public static readonly IPAddress RemoteAddress = IPAddress.Parse("198.51.100.2");
    private static readonly MacAddress LocalMac = new([2, 0, 0, 0, 0, 1]);
    private static readonly MacAddress RemoteMac = new([2, 0, 0, 0, 0, 2]);

    private readonly TapDevice _device;
    private readonly FrameBatch _read = new(new PacketMemory(1 << 20), headroom: 64, capacity: 64, superPacketLimit: 4);

    public TapNode(NetworkNamespace space)
    {
        _device = space.Run(() => TapDevice.Open(new TapOptions { Name = "tap0" }));
        using Rtnetlink netlink = space.Run(() => new Rtnetlink());
        netlink.SetMac(_device.InterfaceIndex, LocalMac);
        netlink.AddAddress(new AssignedAddress(_device.InterfaceIndex, LocalAddress, 24));
        netlink.SetUp(_device.InterfaceIndex, up: true);
        netlink.SetNeighbour(new Neighbour(_device.InterfaceIndex, RemoteAddress, RemoteMac));
    }

    public void Dispose() => _device.Dispose();

    /// <summary>Writes one frame in two slices.</summary>
    public bool TryWrite(byte[] frame, VirtioNetHeader offload)
    {
        var memory = new PacketMemory(frame.Length + 1);
        frame.AsSpan(0, 40).CopyTo(memory.Span(0, 40));
        frame.AsSpan(40).CopyTo(memory.Span(41, frame.Length - 40));
        var batch = new GatherBatch(1, 2);
        batch.Add(offload, [memory.Slice(0, 40), memory.Slice(41, frame.Length - 40)], frame.Length);
        int taken = _device.Queues[0].Write(batch);
        Assert.Equal(taken == 0, batch.Frames[0].Refused);
        return taken == 1;
    }

    /// <summary>Reads until a frame is as wanted.</summary>
    public (byte[] Frame, VirtioNetHeader Offload) ReadUntil(Predicate<byte[]> wanted)
    {
        using var poller = new Poller(_device.Queues[0].FileDescriptor);
        long started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(10))
        {
            poller.Wait(1000);
            _read.Clear();
            _device.Queues[0].Read(_read);
            foreach (ref readonly Frame frame in _read.Frames)
            {
                byte[] bytes = _read.Memory.Span(frame.Offset, frame.Length).ToArray();
                if (wanted(bytes)) return (bytes, frame.Offload);
            }
        }
        Assert.Fail("the frame that was waited for did not come");
        return default;
    }

    /// <summary>Answers the SYN that is on its way and takes the ACK.</summary>
    public void AcceptTcp()
    {
        (byte[] syn, _) = ReadUntil(frame => frame[12] == 8 && frame[23] == 6 && frame[47] == (byte)TcpFlags.Syn);
        byte[] tcp = new byte[24];
        syn.AsSpan(36, 2).CopyTo(tcp);
        syn.AsSpan(34, 2).CopyTo(tcp.AsSpan(2));
        BinaryPrimitives.WriteUInt32BigEndian(tcp.AsSpan(4), 1000);
        BinaryPrimitives.WriteUInt32BigEndian(tcp.AsSpan(8), BinaryPrimitives.ReadUInt32BigEndian(syn.AsSpan(38)) + 1);
        tcp[12] = 6 << 4;
        tcp[13] = (byte)(TcpFlags.Syn | TcpFlags.Ack);
        BinaryPrimitives.WriteUInt16BigEndian(tcp.AsSpan(14), 65_535);
        tcp[20] = 2;
        tcp[21] = 4;
        BinaryPrimitives.WriteUInt16BigEndian(tcp.AsSpan(22), 1460);
        byte[] frame = Ipv4(6, tcp);
        Finish(frame, 16);
        Assert.True(TryWrite(frame, default));
        ReadUntil(frame => frame[12] == 8 && frame[23] == 6 && frame[47] == (byte)TcpFlags.Ack);
    }

    public static byte[] Echo(ReadOnlySpan<byte> payload)
    {
        byte[] icmp = [8, 0, 0, 0, 0, 1, 0, 1, .. payload];
        BitConverter.TryWriteBytes(icmp.AsSpan(2), InternetChecksum.Finish(InternetChecksum.Add(icmp)));
        return Ipv4(1, icmp);
    }

    /// <summary>A UDP super-packet with an unfinished checksum, and the header that says so.</summary>
    public static (byte[] Frame, VirtioNetHeader Offload) UdpSuperPacket(ReadOnlySpan<byte> payload, ushort segmentSize, ushort port)
    {
        byte[] udp = [0x13, 0x88, (byte)(port >> 8), (byte)port, 0, 0, 0, 0, .. payload];
        BinaryPrimitives.WriteUInt16BigEndian(udp.AsSpan(4), (ushort)udp.Length);
        byte[] frame = Ipv4(17, udp);
        ulong sum = InternetChecksum.PseudoHeaderV4(IpBits.V4(RemoteAddress), IpBits.V4(LocalAddress), 17, udp.Length);
        BitConverter.TryWriteBytes(frame.AsSpan(40), InternetChecksum.Fold(sum));
        return (frame, new VirtioNetHeader
        {
            Flags = VirtioNetFlags.NeedsChecksum,
            GsoType = VirtioGsoType.Udp,
            HeaderLength = 42,
            SegmentSize = segmentSize,
            ChecksumStart = 34,
            ChecksumOffset = 6,
        });
    }

    private static void Finish(byte[] frame, int checksumOffset)
    {
        ulong sum = InternetChecksum.PseudoHeaderV4(IpBits.V4(RemoteAddress), IpBits.V4(LocalAddress), frame[23], frame.Length - 34);
        BitConverter.TryWriteBytes(frame.AsSpan(34 + checksumOffset), InternetChecksum.Finish(InternetChecksum.Add(frame.AsSpan(34), sum)));
    }

    private static byte[] Ipv4(byte protocol, ReadOnlySpan<byte> payload)
    {
        byte[] frame = new byte[34 + payload.Length];
        LocalMac.CopyTo(frame);
        RemoteMac.CopyTo(frame.AsSpan(6));
        frame[12] = 8;
        Span<byte> ip = frame.AsSpan(14);
        ip[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(ip[2..], (ushort)(20 + payload.Length));
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = protocol;
        RemoteAddress.TryWriteBytes(ip[12..], out _);
        LocalAddress.TryWriteBytes(ip[16..], out _);
        BitConverter.TryWriteBytes(ip[10..], InternetChecksum.Finish(InternetChecksum.Add(ip[..20])));
        payload.CopyTo(ip[20..]);
        return frame;
    }
}
