using BenchmarkDotNet.Attributes;
using Overlay.Wire;

namespace Overlay.Bench.Wire;

/// <summary>The outer headers of a VXLAN datagram, written field by field.</summary>
[MemoryDiagnoser]
public class HeaderBenchmarks
{
    private const int Operations = 1000;
    private readonly byte[] _headers = new byte[70];

    [Benchmark(OperationsPerInvoke = Operations)]
    public int VxlanOverIpv4()
    {
        int written = 0;
        for (int i = 0; i < Operations; i++)
        {
            EthernetFrame.WriteHeader(_headers, MacAddress.Broadcast, default, EtherTypes.Ipv4);
            var fields = new Ipv4Fields
            {
                TotalLength = 1500,
                Identification = (ushort)i,
                DontFragment = true,
                TimeToLive = 64,
                Protocol = IpProtocols.Udp,
                Source = 0xc0000201,
                Destination = 0xc0000202,
            };
            written += Ipv4Packet.WriteHeader(_headers.AsSpan(14), fields);
            UdpHeader.Write(_headers.AsSpan(34), 50000, VxlanHeader.DefaultPort, 1480);
            VxlanHeader.Write(_headers.AsSpan(42), 42);
        }
        return written;
    }
}
