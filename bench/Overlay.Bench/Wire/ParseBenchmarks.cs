using BenchmarkDotNet.Attributes;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Bench.Wire;

/// <summary>From a frame to the ports of its transport header, over frames of every kind.</summary>
[MemoryDiagnoser]
public class ParseBenchmarks
{
    private const int Frames = 256;
    private readonly byte[][] _ipv4 = new byte[Frames][];
    private readonly byte[][] _ipv6 = new byte[Frames][];

    [GlobalSetup]
    public void Setup()
    {
        Fill(_ipv4, EtherTypes.Ipv4);
        Fill(_ipv6, EtherTypes.Ipv6);
    }

    [Benchmark(OperationsPerInvoke = Frames)]
    public int Ipv4()
    {
        int read = 0;
        foreach (byte[] frame in _ipv4)
        {
            if (EthernetFrame.TryParse(frame, out EthernetFrame ethernet) != WireStatus.Ok) continue;
            if (Ipv4Packet.TryParse(ethernet.Payload, out Ipv4Packet packet) != WireStatus.Ok) continue;
            read += (int)packet.Destination + Ports(packet.Protocol, packet.Payload);
        }
        return read;
    }

    [Benchmark(OperationsPerInvoke = Frames)]
    public int Ipv6()
    {
        int read = 0;
        foreach (byte[] frame in _ipv6)
        {
            if (EthernetFrame.TryParse(frame, out EthernetFrame ethernet) != WireStatus.Ok) continue;
            if (Ipv6Packet.TryParse(ethernet.Payload, out Ipv6Packet packet) != WireStatus.Ok) continue;
            read += (int)packet.Destination + Ports(packet.UpperProtocol, packet.UpperPayload);
        }
        return read;
    }

    private static int Ports(byte protocol, ReadOnlySpan<byte> message)
    {
        if (protocol == IpProtocols.Tcp && TcpHeader.TryParse(message, out TcpHeader tcp) == WireStatus.Ok)
            return tcp.SourcePort + tcp.DestinationPort;
        if (protocol == IpProtocols.Udp && UdpHeader.TryParse(message, out UdpHeader udp) == WireStatus.Ok)
            return udp.SourcePort + udp.DestinationPort;
        return 0;
    }

    private static void Fill(byte[][] frames, ushort etherType)
    {
        var random = new Random(1);
        byte[] frame = new byte[RandomFrames.MaxLength];
        for (int i = 0; i < frames.Length;)
        {
            int length = RandomFrames.Write(random, frame);
            if (EthernetFrame.TryParse(frame.AsSpan(0, length), out EthernetFrame view) == WireStatus.Ok && view.EtherType == etherType)
                frames[i++] = frame[..length];
        }
    }
}
