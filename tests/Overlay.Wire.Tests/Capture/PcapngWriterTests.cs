using System.Buffers;
using Overlay.Testing;
using Overlay.Wire.Capture;

namespace Overlay.Wire.Tests.Capture;

public sealed class PcapngWriterTests
{
    private const long Nanosecond = 1_700_000_000_123_456_700;
    private static readonly TimeSpan Time = new(Nanosecond / 100);

    [Fact]
    public void WritePacket_ReadByTshark_HasInterfaceTimeDirectionAndComment()
    {
        byte[] frame = [.. new byte[12], 0x88, 0xb5, 1, 2, 3];
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(file, Write(writer =>
            {
                writer.WritePacket(1, Time, frame.AsSpan(0, 5), frame.AsSpan(5), frame.Length, CaptureDirection.Inbound, "why ünd what");
                writer.WritePacket(0, Time, frame, default, 9000, CaptureDirection.Outbound, "");
                writer.WriteStatistics(0, Time, Time, 10, 3);
            }));
            ProgramRun run = ProgramRun.Check(
                "tshark", "-r", file, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch", "-e", "frame.packet_flags_direction", "-e", "frame.comment", "-e", "frame.len", "-e", "frame.cap_len");
            Assert.Equal(
                ["outer\t1700000000.123456700\t0x00000001\twhy ünd what\t17\t17", "inner\t1700000000.123456700\t0x00000002\t\t9000\t17"], run.Lines);
            string infos = ProgramRun.Check("capinfos", "-M", file).Output;
            Assert.Contains("Number of packets:   2", infos, StringComparison.Ordinal);
            Assert.Contains("Capture application: test", infos, StringComparison.Ordinal);
            ProgramRun.Check("tcpdump", "-r", file, "-n");
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void WritePacket_AnyPackets_AreReadBack() => Seeded.Check(200, random =>
    {
        var written = new List<(int Interface, byte[] Bytes, int Length, CaptureDirection Direction, string Comment, TimeSpan Time)>();
        byte[] file = Write(writer =>
        {
            for (int i = random.Next(1, 10); i > 0; i--)
            {
                byte[] bytes = new byte[random.Next(0, 300)];
                random.NextBytes(bytes);
                int cut = random.Next(bytes.Length + 1);
                string comment = new('x', random.Next(0, 9));
                var time = new TimeSpan(random.NextInt64(0, TimeSpan.FromDays(200_000).Ticks));
                var direction = (CaptureDirection)random.Next(3);
                writer.WritePacket(i % 2, time, bytes.AsSpan(0, cut), bytes.AsSpan(cut), bytes.Length + 7, direction, comment);
                written.Add((i % 2, bytes, bytes.Length + 7, direction, comment, time));
            }
        });
        CaptureReader reader = CaptureReader.Open(new MemoryStream(file));
        foreach ((int number, byte[] bytes, int length, CaptureDirection direction, string comment, TimeSpan time) in written)
        {
            Assert.True(reader.TryRead(out CapturedFrame frame));
            Assert.Equal((number, length, direction, comment, time), (frame.InterfaceNumber, (int)frame.Length, frame.Direction, frame.Comment ?? "", frame.Time ?? default));
            Assert.Equal(bytes, frame.Data.ToArray());
        }
        Assert.False(reader.TryRead(out _));
    });

    [Fact]
    public void WritePacket_LongerThanTheSnapLength_IsCut()
    {
        CaptureReader reader = CaptureReader.Open(new MemoryStream(Write(writer => writer.WritePacket(0, Time, new byte[100], new byte[100], 200, default, ""), snapLength: 130)));
        Assert.True(reader.TryRead(out CapturedFrame frame));
        Assert.Equal((130, 200), (frame.Data.Length, (int)frame.Length));
    }

    private static byte[] Write(Action<PcapngWriter> write, int snapLength = 65_536)
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new PcapngWriter(output, snapLength);
        writer.WriteSectionHeader("x64", "Linux", "test");
        Assert.Equal((0, 1), (writer.AddInterface("inner", ""), writer.AddInterface("outer", "the underlay")));
        write(writer);
        return output.WrittenSpan.ToArray();
    }
}
