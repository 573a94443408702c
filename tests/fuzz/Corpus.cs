using Overlay.Testing;
using Overlay.Testing.Captures;
using Overlay.Wire.Capture;

namespace Overlay.Fuzz;

/// <summary>Well-formed frames to begin with: those of the golden captures, made by the kernel, and generated ones of every kind.</summary>
internal sealed class Corpus
{
    private const int Generated = 3000;

    private readonly List<byte[]> _frames = [];

    public Corpus(Random random)
    {
        foreach (string file in Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "golden"), "*.pcap").Order(StringComparer.Ordinal))
        {
            using FileStream stream = File.OpenRead(file);
            CaptureReader reader = CaptureReader.Open(stream);
            while (reader.TryRead(out CapturedFrame frame)) _frames.Add(frame.Data.ToArray());
        }
        byte[] buffer = new byte[RandomFrames.MaxLength];
        for (int i = 0; i < Generated; i++)
            _frames.Add(i % 2 == 0 ? RandomTunnels.Frame(random) : buffer[..RandomFrames.Write(random, buffer)]);
    }

    public byte[] Pick(Random random) => _frames[random.Next(_frames.Count)];
}
