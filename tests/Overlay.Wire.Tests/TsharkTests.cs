using Overlay.Testing;
using Overlay.Testing.Captures;

namespace Overlay.Wire.Tests;

/// <summary>Frames of our writers, read by tshark with every checksum checked.</summary>
public sealed class TsharkTests
{
    private const int FramesInFile = 3000;

    private static readonly string[] Fields =
    [
        "ip.checksum.status", "udp.checksum.status", "tcp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status",
        "_ws.malformed", "_ws.expert.message",
    ];

    [Fact]
    public void Writers_GeneratedFrames_AreSoundToTshark() => Seeded.Check(1, random =>
    {
        byte[][] frames = [.. Enumerable.Range(0, FramesInFile).Select(_ => Generate(random))];
        using var capture = new CaptureOnDisk(PcapFile.Write(frames));

        // Payloads are noise: only VXLAN is to be looked for in UDP, and nothing in TCP.
        IReadOnlyList<string[]> rows = Tshark.ReadFields(
            capture.Path, Fields, "-o", "tcp.analyze_sequence_numbers:FALSE", "-d", "udp.port==0-1023,data", "-d", "tcp.port==0-65535,data");

        Assert.Equal(FramesInFile, rows.Count);
        for (int i = 0; i < rows.Count; i++) Assert.Equal($"frame {i}: {Expected(frames[i])}", $"frame {i}: {string.Join('\t', rows[i])}");
    });

    private static byte[] Generate(Random random)
    {
        byte[] frame = new byte[RandomFrames.MaxLength];
        return frame[..RandomFrames.Write(random, frame)];
    }

    /// <summary>Every checksum that the frame has is good, nothing is malformed, and tshark has nothing to remark.</summary>
    private static string Expected(ReadOnlySpan<byte> frame)
    {
        SortedDictionary<string, List<string>> fields = TsharkFields.Read(frame);
        string Good(string field) => fields.TryGetValue(field, out List<string>? values) ? string.Join(',', values.Select(_ => Tshark.Good)) : "";
        return string.Join(
            '\t', Good("ip_checksum"), Good("udp_checksum"), Good("tcp_checksum"), Good("icmp_checksum"), Good("icmpv6_checksum"), "", "");
    }
}
