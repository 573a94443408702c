using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.PacketNet.Tests;

/// <summary>SharpPcap and PacketDotNet read in the golden captures what our reader and decoder read.</summary>
public sealed class GoldenAgreementTests
{
    public static TheoryData<string> Captures => [.. GoldenCaptures.Files.Select(file => Path.GetFileName(file))];

    [Theory]
    [MemberData(nameof(Captures))]
    public void Decode_EveryFrameOfAGoldenCapture_AgreesWithPacketDotNet(string capture)
    {
        string path = GoldenCaptures.Files.Single(file => Path.GetFileName(file) == capture);
        List<byte[]> theirs = [.. SharpPcapFile.ReadAll(path)];

        using FileStream stream = File.OpenRead(path);
        CaptureReader reader = CaptureReader.Open(stream);
        var decoder = new FrameDecoder(new TunnelPorts());
        int frames = 0;
        for (; reader.TryRead(out CapturedFrame frame); frames++)
        {
            Assert.Equal(theirs[frames], frame.Data.ToArray());
            Assert.Equal(PacketNetDecoder.Read(theirs[frames]), TunnelFields.Of(decoder.Decode(frame)));
        }

        Assert.Equal(theirs.Count, frames);
        Assert.NotEqual(0, frames);
    }
}
