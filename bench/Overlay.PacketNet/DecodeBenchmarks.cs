using BenchmarkDotNet.Attributes;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.PacketNet;

/// <summary>The tunnel of every golden frame: from its bytes in memory, and from its file on.</summary>
[MemoryDiagnoser]
public class DecodeBenchmarks
{
    private readonly FrameDecoder _decoder = new(new TunnelPorts());
    private readonly IReadOnlyList<string> _files = GoldenCaptures.Files;
    private readonly List<byte[]> _frames = [];

    [GlobalSetup]
    public void Setup()
    {
        foreach (string file in _files) _frames.AddRange(SharpPcapFile.ReadAll(file));
    }

    [Benchmark(Baseline = true)]
    public int Overlay()
    {
        int tunnels = 0;
        foreach (byte[] frame in _frames)
        {
            if (_decoder.Decode(CapturedFrame.Ethernet(frame)).Tunnel != TunnelKind.None) tunnels++;
        }
        return tunnels;
    }

    [Benchmark]
    public int PacketDotNet()
    {
        int tunnels = 0;
        foreach (byte[] frame in _frames)
        {
            if (PacketNetDecoder.Read(frame).Tunnel != TunnelKind.None) tunnels++;
        }
        return tunnels;
    }

    [Benchmark]
    public int OverlayFromFile()
    {
        int tunnels = 0;
        foreach (string file in _files)
        {
            using FileStream stream = File.OpenRead(file);
            CaptureReader reader = CaptureReader.Open(stream);
            while (reader.TryRead(out CapturedFrame frame))
            {
                if (_decoder.Decode(frame).Tunnel != TunnelKind.None) tunnels++;
            }
        }
        return tunnels;
    }

    [Benchmark]
    public int SharpPcapAndPacketDotNetFromFile()
    {
        int tunnels = 0;
        foreach (string file in _files)
        {
            foreach (byte[] frame in SharpPcapFile.ReadAll(file))
            {
                if (PacketNetDecoder.Read(frame).Tunnel != TunnelKind.None) tunnels++;
            }
        }
        return tunnels;
    }
}
