using System.ComponentModel;
using System.Diagnostics;
using Overlay.Testing;

namespace Overlay.Wire.Tests;

/// <summary>Frames of our writers, read by tshark with every checksum checked.</summary>
public sealed class TsharkTests
{
    private const int FramesInFile = 3000;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    // 1 is good, 0 bad, 2 unverified, 3 not present.
    private static readonly string[] Statuses =
    [
        "ip.checksum.status", "udp.checksum.status", "tcp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status",
    ];

    [Fact]
    public void Writers_GeneratedFrames_AreSoundToTshark() => Seeded.Check(1, random =>
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            var expected = new List<string>();
            using (var pcap = new PcapWriter(path))
            {
                byte[] frame = new byte[RandomFrames.MaxLength];
                for (int i = 0; i < FramesInFile; i++)
                {
                    int length = RandomFrames.Write(random, frame);
                    pcap.Write(frame.AsSpan(0, length));
                    expected.Add(ExpectedStatuses(frame.AsSpan(0, length)));
                }
            }

            string[] lines = Run(path);

            Assert.Equal(FramesInFile, lines.Length);
            for (int i = 0; i < lines.Length; i++) Assert.Equal($"frame {i}: {expected[i]}", $"frame {i}: {lines[i]}");
        }
        finally
        {
            File.Delete(path);
        }
    });

    /// <summary>Every checksum that the frame has is good, nothing is malformed, and tshark has nothing to remark.</summary>
    private static string ExpectedStatuses(ReadOnlySpan<byte> frame)
    {
        SortedDictionary<string, List<string>> fields = TsharkFields.Read(frame);
        string Good(string field) => fields.TryGetValue(field, out List<string>? values) ? string.Join(',', values.Select(_ => "1")) : "";
        return string.Join(
            '\t', Good("ip_checksum"), Good("udp_checksum"), Good("tcp_checksum"), Good("icmp_checksum"), Good("icmpv6_checksum"), "", "");
    }

    private static string[] Run(string path)
    {
        // Payloads are noise: only VXLAN is to be looked for in UDP, and nothing in TCP.
        string[] arguments =
        [
            "-r", path, "-n", "-T", "fields", "-E", "occurrence=a",
            "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
            "-o", "tcp.analyze_sequence_numbers:FALSE",
            "-d", "udp.port==0-1023,data", "-d", "tcp.port==0-65535,data",
            .. Statuses.SelectMany(field => (string[])["-e", field]), "-e", "_ws.malformed", "-e", "_ws.expert.message",
        ];
        var start = new ProcessStartInfo("tshark", arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process tshark = Start(start);
        Task<string> output = tshark.StandardOutput.ReadToEndAsync();
        Task<string> errors = tshark.StandardError.ReadToEndAsync();
        if (!tshark.WaitForExit(Deadline))
        {
            tshark.Kill();
            Assert.Fail($"tshark did not end within {Deadline}");
        }
        Assert.True(tshark.ExitCode == 0, errors.GetAwaiter().GetResult());
        return output.GetAwaiter().GetResult().TrimEnd('\n').Split('\n');
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception missing)
        {
            throw new InvalidOperationException("tshark cannot be started; install the package tshark", missing);
        }
    }
}
