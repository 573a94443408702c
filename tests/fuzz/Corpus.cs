using Overlay.Testing;
using Overlay.Testing.Captures;
using Overlay.Wire;
using Overlay.Wire.Capture;

namespace Overlay.Fuzz;

/// <summary>
/// Frames to begin with: those of the golden captures, made by the kernel and other programs, what their tunnels hold, and generated ones of
/// every kind.
/// </summary>
internal sealed class Corpus
{
    private const int Generated = 3000;
    private const int PathMessages = 60;

    /// <summary>Where the frame in a VXLAN datagram begins.</summary>
    private const int InnerOverIpv4 = 14 + 20 + 8 + 8;
    private const int InnerOverIpv6 = 14 + 40 + 8 + 8;

    private readonly List<byte[]> _frames = [];

    public Corpus(Random random)
    {
        foreach (string file in Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "golden"), "*.pcap").Order(StringComparer.Ordinal))
        {
            using FileStream stream = File.OpenRead(file);
            CaptureReader reader = CaptureReader.Open(stream);
            while (reader.TryRead(out CapturedFrame frame))
            {
                byte[] data = frame.Data.ToArray();
                _frames.Add(data);
                int inner = data.Length > 12 && data[12] == 0x86 ? InnerOverIpv6 : InnerOverIpv4;
                if (data.Length > inner) _frames.Add(data[inner..]);
            }
        }
        byte[] buffer = new byte[RandomFrames.MaxLength];
        for (int i = 0; i < Generated; i++)
            _frames.Add(i % 2 == 0 ? RandomTunnels.Frame(random) : buffer[..RandomFrames.Write(random, buffer)]);
        for (int i = 0; i < PathMessages; i++) _frames.Add(PathFrame(random, i % 3));
    }

    /// <summary>A probe of the path or its answer behind Ethernet, or behind an IP header from a peer of <see cref="Targets.IngressTarget"/>.</summary>
    private static byte[] PathFrame(Random random, int kind)
    {
        byte[] message = new byte[PathMessage.Length + random.Next(64)];
        PathMessage.Write(message, random.Next(2) == 0 ? PathMessageKind.Probe : PathMessageKind.Answer, random.Next(ushort.MaxValue), (ulong)random.NextInt64());
        return kind switch
        {
            0 => TestFrames.Outer(message, EtherTypes.LocalExperimental),
            1 => TestFrames.Outer(TestFrames.Ipv4(message, IpProtocols.Experimental, "192.0.2.2", "192.0.2.1")),
            _ => TestFrames.Outer(TestFrames.Ipv6(message, IpProtocols.Experimental, "2001:db8::2", "2001:db8::1"), EtherTypes.Ipv6),
        };
    }

    public byte[] Pick(Random random) => _frames[random.Next(_frames.Count)];
}
