using System.Text.Json;
using Overlay.Testing;
using Overlay.Testing.Captures;

namespace Overlay.Cli.Tests;

/// <summary>The program on damaged files: it ends, standard output is JSON only, and standard error says why it ended early.</summary>
public sealed class DecodeHostileFilesTests
{
    private const int Frames = 20;

    [Fact]
    public void Json_DamagedFiles_PrintsOnlyJson() => Seeded.Check(25, random =>
    {
        CaptureRecord[] records = [.. Enumerable.Range(0, Frames).Select(_ => new CaptureRecord(RandomTunnels.Frame(random)))];
        byte[] file = random.Next(2) == 0 ? PcapFile.Write(records, random.Next(2) == 0, random.Next(2) == 0) : Pcapng(records, random);
        for (int changes = random.Next(1, 200); changes > 0; changes--) file[random.Next(24, file.Length)] = (byte)random.Next(256);
        ProgramRun run = OverlayProgram.RunReading(file[..random.Next(file.Length)], "decode", "--json", "-");

        Assert.Equal(run.ExitCode == 0 ? 0 : 1, run.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.True(run.ExitCode == 0 || run.Errors.StartsWith("overlay: -: ", StringComparison.Ordinal), run.Errors);
        for (int i = 0; i < run.Lines.Length; i++)
        {
            using JsonDocument line = JsonDocument.Parse(run.Lines[i]);
            Assert.Equal(i + 1, line.RootElement.GetProperty("frame").GetInt32());
            Assert.Equal(19, line.RootElement.EnumerateObject().Count());
        }
    });

    private static byte[] Pcapng(CaptureRecord[] records, Random random)
    {
        PcapngFile file = new PcapngFile().Section(random.Next(2) == 0).Interface();
        foreach (CaptureRecord record in records) file.Enhanced(0, record);
        return file.ToArray();
    }
}
