using System.Diagnostics;
using System.Text.Json;
using Overlay.Testing;
using Overlay.Testing.Captures;
using Overlay.Wire;
using static Overlay.Testing.Captures.TestFrames;

namespace Overlay.Cli.Tests;

public sealed class DecodeCommandTests
{
    private static readonly byte[] Vxlan4 = Outer(OuterIpv4(Udp(Vxlan(Inner(InnerIpv4()), 42, 0x88, 0x1234), 4789), IpProtocols.Udp));
    private static readonly byte[] Arp = Outer(new byte[28], EtherTypes.Arp);
    private static readonly byte[] Geneve6 = Outer(
        OuterIpv6(Udp(Geneve(InnerIpv6(), 0xffffff, EtherTypes.Ipv6, GeneveOption(0x0102, 0x83, 0xab, 0xcd, 0xef, 1)), 6081), IpProtocols.Udp),
        EtherTypes.Ipv6);

    private const string Vxlan4Json =
        """
        {"frame":1,"encap":"vxlan","vni":42,"outer_src":"192.0.2.1","outer_dst":"192.0.2.2","outer_sport":50001,"outer_dport":4789,"inner_len":58,"inner_src":"10.244.1.2","inner_dst":"10.244.2.3","inner_eth_src":"0a:bc:de:f0:00:03","inner_eth_dst":"0a:bc:de:f0:00:04","inner_proto":null,"flags":136,"gbp_id":4660,"oam":null,"critical":null,"options":null,"error":null}
        """;

    private const string ArpJson =
        """
        {"frame":2,"encap":"none","vni":null,"outer_src":null,"outer_dst":null,"outer_sport":null,"outer_dport":null,"inner_len":null,"inner_src":null,"inner_dst":null,"inner_eth_src":null,"inner_eth_dst":null,"inner_proto":null,"flags":null,"gbp_id":null,"oam":null,"critical":null,"options":null,"error":null}
        """;

    private const string Geneve6Json =
        """
        {"frame":3,"encap":"geneve","vni":16777215,"outer_src":"2001:db8::1","outer_dst":"2001:db8:0:1::2","outer_sport":50001,"outer_dport":6081,"inner_len":64,"inner_src":"fd00::1:0:0:1","inner_dst":"fd00:244:2::3","inner_eth_src":null,"inner_eth_dst":null,"inner_proto":34525,"flags":null,"gbp_id":null,"oam":false,"critical":true,"options":[{"class":258,"type":131,"len":4,"data":"abcdef01"}],"error":null}
        """;

    private const string Tree =
        """
        frame 1: 108 bytes
          outer 192.0.2.1 > 192.0.2.2
            UDP 50001 > 4789
            VXLAN VNI 42, flags 0x88, group policy 4660
              inner 58 bytes
                Ethernet 0a:bc:de:f0:00:03 > 0a:bc:de:f0:00:04
                IP 10.244.1.2 > 10.244.2.3
        frame 2: 42 bytes
          no tunnel
        frame 3: 142 bytes, 74 captured
          outer 2001:db8::1 > 2001:db8:0:1::2
            UDP 50001 > 6081
            Geneve VNI 16777215, protocol 0x86dd, critical options
              inner 64 bytes
          error: Geneve header incomplete: 12 of 16 bytes

        """;

    [Fact]
    public void Json_EachKind_IsOneLineWithEveryKey()
    {
        using var capture = new CaptureOnDisk(PcapFile.Write(Vxlan4, Arp, Geneve6));
        ProgramRun run = OverlayProgram.Run("decode", "--json", capture.Path);

        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        Assert.Equal(string.Join('\n', Vxlan4Json, ArpJson, Geneve6Json) + "\n", run.Output);
    }

    [Fact]
    public void Json_PcapngOnStandardInput_IsTheSame()
    {
        byte[] file = new PcapngFile().Section(isBigEndian: true).Interface()
            .Enhanced(0, new(Vxlan4)).Simple(new(Arp)).Section().Interface().Enhanced(0, new(Geneve6)).ToArray();
        ProgramRun run = OverlayProgram.RunReading(file, "decode", "-", "--json");

        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        Assert.Equal([Vxlan4Json, ArpJson, Geneve6Json], run.Lines);
    }

    [Fact]
    public async Task Json_PipeThatStaysOpen_PrintsWhatCameWithoutWaitingForMore()
    {
        var start = new ProcessStartInfo(OverlayProgram.Path, ["decode", "--json", "-"]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        process.StandardInput.BaseStream.Write(PcapFile.Write(Vxlan4, Arp));
        process.StandardInput.BaseStream.Flush();

        Assert.Equal(Vxlan4Json, await process.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(60)));
        Assert.Equal(ArpJson, await process.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(60)));
        process.StandardInput.Close();
        Assert.Null(await process.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(60)));
    }

    [Fact]
    public void Tree_EachKind_IsReadable()
    {
        using var capture = new CaptureOnDisk(PcapFile.Write([new(Vxlan4), new(Arp), new CaptureRecord(Geneve6).CutTo(14 + 40 + 8 + 12)]));
        ProgramRun run = OverlayProgram.Run("decode", capture.Path);

        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        Assert.Equal(Tree, run.Output);
    }

    [Fact]
    public void Json_AddedPorts_AreDecoded()
    {
        byte[] vxlan = Vxlan(Inner(InnerIpv4()));
        byte[][] frames = [.. new[] { 1000, 1001, 1002, 1003, 4789, 1004 }.Select(port => Outer(OuterIpv4(Udp(vxlan, port), IpProtocols.Udp)))];
        using var capture = new CaptureOnDisk(PcapFile.Write(frames));
        ProgramRun run = OverlayProgram.Run(
            "decode", "--vxlan-port", "1000", "--json", "--vxlan-port=1001", capture.Path, "--vxlan-gpe-port", "1002", "--geneve-port", "1003");

        Assert.Equal(["vxlan", "vxlan", "vxlan-gpe", "geneve", "vxlan", "none"], run.Lines.Select(Encapsulation));
    }

    [Fact]
    public void Json_FileCutAtEveryByte_PrintsWholeFramesAndSaysWhereItEnded()
    {
        byte[] file = PcapFile.Write(Vxlan4, Arp);
        int[] ends = [24, 24 + 16 + Vxlan4.Length, file.Length];
        foreach (int kept in new[] { 0, 3, 23, 24, 25, 40, 41, ends[1] - 1, ends[1], ends[1] + 7, file.Length - 1, file.Length })
        {
            ProgramRun run = OverlayProgram.RunReading(file[..kept], "decode", "--json", "-");

            Assert.Equal([.. new[] { Vxlan4Json, ArpJson }.Take(ends.Count(end => end <= kept) - 1)], run.Lines);
            Assert.Equal(ends.Contains(kept) ? 0 : 1, run.ExitCode);
            Assert.StartsWith(ends.Contains(kept) ? "" : $"overlay: -: the file ends after {kept} bytes, inside ", run.Errors, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("--vxlan-port", "0", "'0' is not a UDP port; give a number from 1 to 65535")]
    [InlineData("--vxlan-gpe-port", "65536", "'65536' is not a UDP port; give a number from 1 to 65535")]
    [InlineData("--geneve-port", "six", "'six' is not a UDP port; give a number from 1 to 65535")]
    public void Json_ImpossiblePort_IsRefused(string option, string value, string error)
    {
        ProgramRun run = OverlayProgram.Run("decode", "--json", option, value, "/dev/null");

        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.Contains(error, run.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Json_OnePortForTwoEncapsulations_IsRefused()
    {
        ProgramRun run = OverlayProgram.Run("decode", "--json", "--vxlan-port", "7", "--geneve-port", "7", "/dev/null");

        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.Equal("overlay: --geneve-port 7: the port was given for another encapsulation too; give it once\n", run.Errors);
    }

    [Theory]
    [InlineData("/nonexistent/file.pcap", "/nonexistent/file.pcap: ")]
    [InlineData("/proc", "/proc: ")]
    [InlineData("/dev/null", "/dev/null: the file ends after 0 bytes, inside the file's magic number")]
    public void Json_NoCapture_SaysWhyOnStandardError(string path, string error)
    {
        ProgramRun run = OverlayProgram.Run("decode", "--json", path);

        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.StartsWith("overlay: " + error, run.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Json_NoFile_PrintsNothingOnStandardOutput()
    {
        ProgramRun run = OverlayProgram.Run("decode", "--json");

        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.Contains("FILE", run.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Json_OutputThatTakesNothing_FailsWithTheReason()
    {
        using var capture = new CaptureOnDisk(PcapFile.Write(Vxlan4));
        ProgramRun run = ProgramRun.Start("sh", "-c", $"'{OverlayProgram.Path}' decode --json '{capture.Path}' > /dev/full");

        Assert.Equal(1, run.ExitCode);
        Assert.Contains("No space left on device", run.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Json_OtherLinkType_IsAFrameWithoutATunnel()
    {
        using var capture = new CaptureOnDisk(PcapFile.Write([new(OuterIpv4(InnerIpv4(), 4))], linkType: 101));
        ProgramRun run = OverlayProgram.Run("decode", "--json", capture.Path);

        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        using JsonDocument line = JsonDocument.Parse(Assert.Single(run.Lines));
        Assert.Equal("none", line.RootElement.GetProperty("encap").GetString());
        Assert.Equal(JsonValueKind.Null, line.RootElement.GetProperty("error").ValueKind);
    }

    [Fact]
    public void Json_ManyFrames_AreNumberedInOrder()
    {
        byte[][] frames = [.. Enumerable.Repeat(Vxlan4, 20_000)];
        using var capture = new CaptureOnDisk(PcapFile.Write(frames));
        ProgramRun run = OverlayProgram.Run("decode", "--json", capture.Path);

        Assert.Equal(20_000, run.Lines.Length);
        Assert.All(run.Lines, (line, index) => Assert.StartsWith($"{{\"frame\":{index + 1},\"encap\":\"vxlan\",", line, StringComparison.Ordinal));
    }

    private static string? Encapsulation(string line)
    {
        using JsonDocument document = JsonDocument.Parse(line);
        return document.RootElement.GetProperty("encap").GetString();
    }
}
