using Overlay.Testing.Captures;
using Overlay.Wire.Capture;

namespace Overlay.Wire.Tests.Capture;

public sealed class PcapReaderTests
{
    private static readonly CaptureRecord[] Records =
        [new([1, 2, 3]), new([]), new CaptureRecord([4, 5, 6, 7, 8]).CutTo(2), new([9], 0)];

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void TryRead_EitherByteOrderAndResolution_GivesEveryFrame(bool isBigEndian, bool isNanoseconds)
    {
        List<ReadFrame> frames = Captures.Read(PcapFile.Write(Records, isBigEndian, isNanoseconds));

        Assert.Equal(
            [new(1, 3, 3, "010203"), new(1, 0, 0, ""), new(1, 5, 2, "0405"), new ReadFrame(1, 1, 1, "09")],
            frames);
    }

    [Fact]
    public void TryRead_LinkTypeWithFrameCheckSequenceLength_IsTheLinkType() =>
        Assert.Equal(101, Assert.Single(Captures.Read(PcapFile.Write([Records[0]], linkType: 0x4400_0065))).LinkType);

    [Fact]
    public void TryRead_NoRecords_GivesNoFrame() => Assert.Empty(Captures.Read(PcapFile.Write()));

    [Fact]
    public void TryRead_FileCutAtEveryByte_GivesWholeFramesAndSaysSo()
    {
        byte[] file = PcapFile.Write(Records, isBigEndian: true);
        int[] ends = [24, 24 + 19, 24 + 19 + 16, 24 + 19 + 16 + 18];
        for (int kept = 0; kept < file.Length; kept++)
        {
            List<ReadFrame> frames = Captures.Read(file[..kept], out string? error);

            int before = Math.Max(0, ends.Count(end => end <= kept) - 1);
            Assert.Equal(Math.Min(before, Records.Length), frames.Count);
            Assert.Equal(ends.Contains(kept), error is null);
            if (error is not null) Assert.StartsWith($"the file ends after {kept} bytes, inside ", error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void TryRead_FrameBeyondTheLimit_KeepsItsBeginningAndGoesOn()
    {
        byte[] huge = new byte[CaptureReader.MaxFrameBytes + 12_345];
        huge[CaptureReader.MaxFrameBytes - 1] = 0xaa;
        List<ReadFrame> frames = Captures.Read(PcapFile.Write([new CaptureRecord(huge), new CaptureRecord([7])]));

        Assert.Equal((huge.Length, CaptureReader.MaxFrameBytes * 2), (frames[0].Length, frames[0].Data.Length));
        Assert.EndsWith("aa", frames[0].Data, StringComparison.Ordinal);
        Assert.Equal(new ReadFrame(1, 1, 1, "07"), frames[1]);
    }

    [Fact]
    public void TryRead_RecordOfFourGigabytesInAShortFile_EndsWithAnError()
    {
        byte[] file = PcapFile.Write([Records[0]]);
        file.AsSpan(32, 4).Fill(0xff);

        Assert.Empty(Captures.Read(file, out string? error));
        Assert.Equal($"the file ends after {file.Length} bytes, inside a frame", error);
    }

    [Theory]
    [InlineData("", "the file ends after 0 bytes, inside the file's magic number")]
    [InlineData("d4c3b2", "the file ends after 3 bytes, inside the file's magic number")]
    [InlineData("1f8b080000000000", "magic number 0x1f8b0800 is that of neither pcap nor pcapng")]
    [InlineData("34cdb2a1", "magic number 0x34cdb2a1 is that of neither pcap nor pcapng")]
    [InlineData("a1b2c3d4" + "0001000400000000000000000004000000000001", "pcap version 1.4 is not 2.x")]
    public void Open_NoCapture_SaysWhy(string hex, string error)
    {
        Captures.Read(Convert.FromHexString(hex), out string? actual);

        Assert.Equal(error, actual);
    }
}
