using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux.Underlay;
using Overlay.Wire;

namespace Overlay.Linux.Tests.Support;

/// <summary>A train as it arrived, its bytes copied.</summary>
internal sealed record Arrived(byte[] Bytes, int SegmentSize, byte TrafficClass, UnderlayEndpoint Source, Encapsulation Encapsulation = Encapsulation.Vxlan);

/// <summary>Underlays in two namespaces, 192.0.2.1 and 2001:db8::1 to 192.0.2.2 and 2001:db8::2.</summary>
internal sealed class UnderlayPair : IDisposable
{
    public const int SourcePortCount = 8;
    public const byte TimeToLive = 37;

    private readonly PacketMemory _memory = new(1 << 20);
    private readonly ReceiveBatch _received = new(16);
    private int _used;

    public UnderlayPair(Func<UdpUnderlayOptions, UdpUnderlayOptions>? first = null, Func<UdpUnderlayOptions, UdpUnderlayOptions>? second = null)
    {
        NetworkNamespace.Connect(FirstSpace, SecondSpace);
        First = Open(FirstSpace, 1, first ?? (options => options));
        Second = Open(SecondSpace, 2, second ?? (options => options));
    }

    public NetworkNamespace FirstSpace { get; } = new();

    public NetworkNamespace SecondSpace { get; } = new();

    public UdpUnderlay First { get; }

    public UdpUnderlay Second { get; }

    public SendBatch Batch { get; } = new(512, 2048);

    public static byte[] RandomBytes(int length) => RandomNumberGenerator.GetBytes(length);

    public static Peer PeerAt(IPAddress address, ushort port = 4789) =>
        new("peer", new UnderlayEndpoint(IpBits.V6OrMapped(address), port), default, new PeerTraffic(1));

    public static UdpUnderlay Open(NetworkNamespace space, int host, Func<UdpUnderlayOptions, UdpUnderlayOptions> change)
    {
        var options = new UdpUnderlayOptions
        {
            Addresses = [IPAddress.Parse($"192.0.2.{host}"), IPAddress.Parse($"2001:db8::{host}")],
            SourcePortCount = SourcePortCount,
            TimeToLive = TimeToLive,
        };
        return space.Run(() => new UdpUnderlay(change(options)));
    }

    public void AddTrain(ReadOnlySpan<byte> payload, int segmentSize, bool ipv6, int sourcePortIndex = 0, byte trafficClass = 0)
    {
        Peer peer = PeerAt(IPAddress.Parse(ipv6 ? "2001:db8::2" : "192.0.2.2"));
        AddTrain(payload, segmentSize, peer, sourcePortIndex, trafficClass);
    }

    /// <summary>Adds a train whose slices are cut without regard to the segments, a byte apart in memory.</summary>
    public void AddTrain(ReadOnlySpan<byte> payload, int segmentSize, Peer peer, int sourcePortIndex = 0, byte trafficClass = 0)
    {
        ref DatagramTrain train = ref Batch.Add(peer, TrainKind.Datagrams);
        train.SegmentSize = (ushort)segmentSize;
        train.SourcePortIndex = (ushort)sourcePortIndex;
        train.TrafficClass = trafficClass;
        const int Cut = 777;
        for (int start = 0; start < payload.Length; start += Cut)
        {
            ReadOnlySpan<byte> part = payload[start..Math.Min(start + Cut, payload.Length)];
            part.CopyTo(_memory.Span(_used, part.Length));
            Batch.AddSlice(_memory.Slice(_used, part.Length));
            _used += part.Length + 1;
        }
    }

    public void Send() => First.Send(Batch);

    /// <summary>Receives at the second until so many bytes are there.</summary>
    public List<Arrived> Receive(int bytes) => Receive(bytes, _received);

    /// <inheritdoc cref="Receive(int)"/>
    public List<Arrived> Receive(int bytes, ReceiveBatch batch)
    {
        using var poller = new Poller([.. Second.ReceiveDescriptors]);
        var arrived = new List<Arrived>();
        long started = Stopwatch.GetTimestamp();
        while (arrived.Sum(train => train.Bytes.Length) < bytes)
        {
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(10), $"{arrived.Sum(train => train.Bytes.Length)} of {bytes} bytes arrived");
            poller.Wait(1000);
            Assert.Equal(Second.Receive(batch), batch.Count);
            foreach (ref ReceivedTrain train in batch.Trains)
                arrived.Add(new Arrived(batch.Memory.Span(train.Offset, train.Length).ToArray(), train.SegmentSize, train.TrafficClass, train.Source, train.Encapsulation));
        }
        Assert.Equal(bytes, arrived.Sum(train => train.Bytes.Length));
        return arrived;
    }

    public unsafe void SetSendOption(int portIndex, int level, int option, int value)
    {
        int descriptor = First.SendDescriptor(portIndex, ipv6: false);
        Assert.Equal(0, Interop.Libc.SetSocketOption(descriptor, level, option, &value, sizeof(int)));
    }

    /// <summary>Tells the first namespace that its datagram from source port 0 was too big, as a router would, and waits until it was taken in.</summary>
    public void ForgeTooBig(bool ipv6, int mtu)
    {
        byte[] message = ipv6 ? TooBigV6(mtu) : TooBigV4(mtu);
        long before = IcmpReceived(ipv6);
        SecondSpace.Run(() =>
        {
            using var raw = ipv6
                ? new Socket(AddressFamily.InterNetworkV6, SocketType.Raw, ProtocolType.IcmpV6)
                : new Socket(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.Icmp);
            raw.SendTo(message, new IPEndPoint(IPAddress.Parse(ipv6 ? "2001:db8::1" : "192.0.2.1"), 0));
        });
        Assert.True(SpinWait.SpinUntil(() => IcmpReceived(ipv6) > before, TimeSpan.FromSeconds(5)));
    }

    public void Dispose()
    {
        First.Dispose();
        Second.Dispose();
        FirstSpace.Dispose();
        SecondSpace.Dispose();
    }

    private long IcmpReceived(bool ipv6) => FirstSpace.Run(() =>
    {
        if (ipv6)
        {
            string line = File.ReadLines("/proc/thread-self/net/snmp6").First(text => text.StartsWith("Icmp6InPktTooBigs", StringComparison.Ordinal));
            return long.Parse(line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1]);
        }
        string[][] rows = [.. File.ReadLines("/proc/thread-self/net/snmp").Where(text => text.StartsWith("Icmp:", StringComparison.Ordinal)).Select(text => text.Split(' '))];
        return long.Parse(rows[1][Array.IndexOf(rows[0], "InDestUnreachs")]);
    });

    private byte[] TooBigV4(int mtu)
    {
        byte[] message = new byte[8 + 20 + 8];
        message[0] = 3;
        message[1] = 4;
        BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(6), (ushort)mtu);
        Span<byte> ip = message.AsSpan(8);
        ip[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(ip[2..], 1428);
        ip[6] = 0x40;
        ip[8] = TimeToLive;
        ip[9] = 17;
        IPAddress.Parse("192.0.2.1").TryWriteBytes(ip[12..], out _);
        IPAddress.Parse("192.0.2.2").TryWriteBytes(ip[16..], out _);
        Checksum(ip[..20]).CopyTo(ip[10..]);
        WriteUdp(ip[20..]);
        Checksum(message).CopyTo(message, 2);
        return message;
    }

    private byte[] TooBigV6(int mtu)
    {
        byte[] message = new byte[8 + 40 + 8];
        message[0] = 2;
        BinaryPrimitives.WriteInt32BigEndian(message.AsSpan(4), mtu);
        Span<byte> ip = message.AsSpan(8);
        ip[0] = 0x60;
        BinaryPrimitives.WriteUInt16BigEndian(ip[4..], 1408);
        ip[6] = 17;
        ip[7] = TimeToLive;
        IPAddress.Parse("2001:db8::1").TryWriteBytes(ip[8..], out _);
        IPAddress.Parse("2001:db8::2").TryWriteBytes(ip[24..], out _);
        WriteUdp(ip[40..]);
        return message;
    }

    private void WriteUdp(Span<byte> udp)
    {
        BinaryPrimitives.WriteUInt16BigEndian(udp, First.SourcePorts[0]);
        BinaryPrimitives.WriteUInt16BigEndian(udp[2..], 4789);
        BinaryPrimitives.WriteUInt16BigEndian(udp[4..], 1408);
    }

    private static byte[] Checksum(ReadOnlySpan<byte> bytes) => BitConverter.GetBytes(InternetChecksum.Finish(InternetChecksum.Add(bytes)));
}
