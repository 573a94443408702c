using Overlay.Testing.Captures;

namespace Overlay.Wire.Tests.Capture;

public sealed class PcapngReaderTests
{
    private static readonly CaptureRecord Whole = new([1, 2, 3, 4, 5]);
    private static readonly CaptureRecord Cut = new CaptureRecord([6, 7, 8]).CutTo(1);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TryRead_EveryPacketBlock_GivesTheFrame(bool isBigEndian)
    {
        byte[] file = new PcapngFile().Section(isBigEndian)
            .Interface().Interface(101)
            .Enhanced(0, Whole).Enhanced(1, Cut).Obsolete(1, Whole).Obsolete(0, Cut).Simple(Whole)
            .ToArray();

        Assert.Equal(
            [ReadFrame.Of(Whole), ReadFrame.Of(Cut, 101), ReadFrame.Of(Whole, 101), ReadFrame.Of(Cut), ReadFrame.Of(Whole)],
            Captures.Read(file));
    }

    [Fact]
    public void TryRead_SimplePacketOfAnInterfaceWithSnapLength_IsCutToIt()
    {
        var cut = new CaptureRecord([1, 2, 3], 1500);
        byte[] file = new PcapngFile().Section().Interface(snapLength: 3).Simple(cut).Simple(new([9, 9])).ToArray();

        Assert.Equal([ReadFrame.Of(cut), ReadFrame.Of(new([9, 9]))], Captures.Read(file));
    }

    [Fact]
    public void TryRead_SectionsOfDifferentByteOrder_EachHasItsOwnInterfaces()
    {
        byte[] file = new PcapngFile()
            .Section().Interface().Enhanced(0, Whole)
            .Section(isBigEndian: true).Interface(101).Enhanced(0, Whole)
            .Section().Interface(113).Interface().Enhanced(1, Cut)
            .ToArray();

        Assert.Equal([ReadFrame.Of(Whole), ReadFrame.Of(Whole, 101), ReadFrame.Of(Cut)], Captures.Read(file));
    }

    [Fact]
    public void TryRead_UnknownBlocks_AreSkipped()
    {
        byte[] file = new PcapngFile().Section()
            .Block(5, new byte[64]).Block(0xbad, []).Interface().Block(0x4000_0bad, new byte[300_000]).Enhanced(0, Whole).Block(4, new byte[4])
            .ToArray();

        Assert.Equal([ReadFrame.Of(Whole)], Captures.Read(file));
    }

    [Fact]
    public void TryRead_FileCutAtEveryByte_EndsWithAnErrorUnlessBetweenBlocks()
    {
        PcapngFile builder = new PcapngFile().Section(isBigEndian: true);
        List<int> ends = [builder.ToArray().Length];
        ends.Add(builder.Interface().ToArray().Length);
        ends.Add(builder.Enhanced(0, Whole).ToArray().Length);
        ends.Add(builder.Simple(Whole).ToArray().Length);
        byte[] file = builder.ToArray();
        for (int kept = 0; kept <= file.Length; kept++)
        {
            List<ReadFrame> frames = Captures.Read(file[..kept], out string? error);

            Assert.Equal(Math.Max(0, ends.Count(end => end <= kept) - 2), frames.Count);
            Assert.Equal(ends.Contains(kept), error is null);
            if (error is not null) Assert.StartsWith($"the file ends after {kept} bytes, inside ", error, StringComparison.Ordinal);
        }
    }

    public static TheoryData<byte[], string> Unsound => new()
    {
        { new PcapngFile().Section(major: 2).ToArray(), "pcapng version 2.0 is not 1.x" },
        { [0x0a, 0x0d, 0x0d, 0x0a, 0x20, 0, 0, 0, 1, 2, 3, 4], "a section header has no byte-order magic" },
        { Start().Enhanced(1, Whole).ToArray(), "a packet names interface 1, which no block describes" },
        { new PcapngFile().Section().Simple(Whole).ToArray(), "a packet names interface 0, which no block describes" },
        { new PcapngFile().Section().Interface().Section().Enhanced(0, Whole).ToArray(), "a packet names interface 0, which no block describes" },
        { Start().Block(6, new byte[16]).ToArray(), "a packet block is shorter than its fields" },
        { Start().Block(3, []).ToArray(), "a simple packet block is shorter than its fields" },
        { Start().Block(1, new byte[4]).ToArray(), "an interface description is shorter than its fields" },
        { Start().Block(3, [200, 0, 0, 0, 1, 2, 3, 4]).ToArray(), "a packet of 200 bytes is longer than its block" },
        { Start().Block(9, [], length: 13).ToArray(), "a block's length is 13, not a multiple of 4 from 12 up" },
        { Start().Block(9, [], length: 8).ToArray(), "a block's length is 8, not a multiple of 4 from 12 up" },
        { Start().Block(9, [], length: 0).ToArray(), "a block's length is 0, not a multiple of 4 from 12 up" },
        { Start().Block(9, new byte[8], repeated: 24).ToArray(), "a block's lengths differ, 20 before and 24 behind" },
    };

    [Theory]
    [MemberData(nameof(Unsound))]
    public void TryRead_UnsoundBlock_SaysWhatAndWhere(byte[] file, string error)
    {
        Captures.Read(file, out string? actual);

        Assert.StartsWith(error + ", before byte ", actual, StringComparison.Ordinal);
    }

    [Fact]
    public void TryRead_EndlessInterfaces_AreRefusedInBoundedMemory()
    {
        PcapngFile file = new PcapngFile().Section();
        for (int i = 0; i <= 65_536; i++) file.Interface();

        Captures.Read(file.ToArray(), out string? error);

        Assert.StartsWith("a section describes more than 65536 interfaces", error, StringComparison.Ordinal);
    }

    private static PcapngFile Start() => new PcapngFile().Section().Interface();
}
