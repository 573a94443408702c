using System.Text;
using System.Text.Json;
using Overlay.Testing;
using Overlay.Testing.Captures;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.Cli.Tests;

/// <summary>Whatever a frame holds, it is one line of JSON with every key in its order, and a tree that can be printed.</summary>
public sealed class JsonReportTests
{
    private const int FramesPerFile = 50;

    private static readonly string[] Keys =
    [
        "frame", "encap", "vni", "outer_src", "outer_dst", "outer_sport", "outer_dport", "inner_len", "inner_src", "inner_dst", "inner_eth_src",
        "inner_eth_dst", "inner_proto", "flags", "gbp_id", "oam", "critical", "options", "error",
    ];

    [Fact]
    public void Write_MutatedFrames_IsOneLineWithEveryKey() => Seeded.Check(400, random =>
    {
        CaptureRecord[] records = [.. Enumerable.Range(0, FramesPerFile).Select(_ => Mutated(random))];
        string[] lines = Report(PcapFile.Write(records), output => new JsonReport(output)).Split('\n');

        Assert.Equal("", lines[^1]);
        Assert.Equal(FramesPerFile, lines.Length - 1);
        for (int i = 0; i < FramesPerFile; i++)
        {
            using JsonDocument line = JsonDocument.Parse(lines[i]);
            Assert.Equal(Keys, line.RootElement.EnumerateObject().Select(property => property.Name));
            Assert.Equal(i + 1, line.RootElement.GetProperty("frame").GetInt32());
        }
        string tree = Report(PcapFile.Write(records), output => new TreeReport(output));
        Assert.Equal(FramesPerFile, tree.Split('\n').Count(line => line.StartsWith("frame ", StringComparison.Ordinal)));
        Assert.DoesNotContain(tree, character => character != '\n' && char.IsControl(character));
    });

    private static CaptureRecord Mutated(Random random)
    {
        byte[] frame = RandomTunnels.Frame(random);
        for (int changes = random.Next(6); changes > 0; changes--) frame[random.Next(Math.Min(frame.Length, 120))] = (byte)random.Next(256);
        var record = new CaptureRecord(frame, random.Next(3) == 0 ? random.Next(frame.Length, 70_000) : frame.Length);
        return random.Next(3) == 0 ? record.CutTo(random.Next(frame.Length + 1)) : record;
    }

    private static string Report(byte[] file, Func<Stream, IFrameReport> open)
    {
        using var output = new MemoryStream();
        using (IFrameReport report = open(output))
        {
            CaptureReader reader = CaptureReader.Open(new MemoryStream(file));
            var decoder = new FrameDecoder(new TunnelPorts());
            for (int number = 1; reader.TryRead(out CapturedFrame frame); number++) report.Write(number, frame, decoder.Decode(frame));
        }
        return Encoding.UTF8.GetString(output.ToArray());
    }
}
