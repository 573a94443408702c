using Overlay.Testing.Captures;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.Fuzz.Targets;

/// <summary>Capture files of mutated frames, and mutated capture files, through the readers and the decoder.</summary>
internal sealed class CaptureTarget : IFuzzTarget
{
    private const int FramesPerFile = 20;
    private const int SmallestRecord = 16;

    private readonly FrameDecoder _decoder = new(new TunnelPorts());

    public string Name => "captures and decoder";

    public int Share => 100;

    public void Run(Random random, InputSource inputs, int count, Verdicts verdicts)
    {
        for (int left = count; left > 0; left -= FramesPerFile)
        {
            byte[] file = Write(random, [.. Enumerable.Range(0, FramesPerFile).Select(_ => Record(random, inputs))]);
            ReadAll(file);
            int length = inputs.Mutate(file, file.Length);
            ReadAll(file[..length]);
        }
    }

    private static CaptureRecord Record(Random random, InputSource inputs)
    {
        byte[] frame = inputs.Frame().ToArray();
        return new CaptureRecord(frame, random.Next(3) == 0 ? random.Next(frame.Length, 70_000) : frame.Length);
    }

    private static byte[] Write(Random random, CaptureRecord[] records)
    {
        if (random.Next(2) == 0) return PcapFile.Write(records, random.Next(2) == 0, random.Next(2) == 0, (uint)LinkType(random));
        PcapngFile file = new PcapngFile().Section(random.Next(2) == 0).Interface(snapLength: random.Next(3) == 0 ? random.Next(200) : 0).Interface(LinkType(random));
        foreach (CaptureRecord record in records)
        {
            _ = random.Next(6) switch
            {
                0 => file.Obsolete(random.Next(2), record),
                1 => file.Section(random.Next(2) == 0).Interface(LinkType(random)).Interface().Enhanced(0, record),
                2 when record.Length == record.Data.Length => file.Simple(record),
                3 => file.Block((uint)random.Next(7, 20), new byte[4 * random.Next(20)]).Enhanced(1, record),
                _ => file.Enhanced(0, record),
            };
        }
        return file.ToArray();
    }

    private static int LinkType(Random random) => random.Next(4) == 0 ? random.Next(300) : PcapFile.EthernetLinkType;

    private void ReadAll(byte[] file)
    {
        int frames = 0;
        try
        {
            using var stream = new MemoryStream(file);
            CaptureReader reader = CaptureReader.Open(stream);
            while (reader.TryRead(out CapturedFrame frame))
            {
                frames++;
                DecodedFrame decoded = _decoder.Decode(frame);
                if (decoded.InnerLength is < 0 or > uint.MaxValue) throw new InvalidOperationException($"an inner length of {decoded.InnerLength}");
            }
        }
        catch (CaptureFormatException exception) when (exception.Message.Length > 0)
        {
        }
        if (frames > file.Length / SmallestRecord) throw new InvalidOperationException($"{frames} frames in {file.Length} bytes");
    }
}
