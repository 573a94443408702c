using Overlay.Rpc;
using Overlay.Testing;

namespace Overlay.Cli.Tests;

/// <summary>Where <c>overlay capture</c>, and others, write to: a file, a full disk, a reader that ends.</summary>
public sealed class CaptureOutputTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("overlay-");

    private string Socket => Path.Combine(_folder.FullName, "overlayd.sock");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task Capture_IntoAFileThatOthersWriteTo_WritesBehindWhatIsThere()
    {
        string file = Path.Combine(_folder.FullName, "all");

        ProgramRun run = await CaptureAsync(Answer("packets"), $"{{ echo before; '{OverlayProgram.Path}' capture -w - --socket '{Socket}'; echo after; }} > '{file}'");

        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        Assert.Equal("before\npacketsafter\n", await File.ReadAllTextAsync(file));
    }

    [Theory]
    [InlineData("-w - > /dev/full", "standard output")]
    [InlineData("-w /dev/full", "/dev/full")]
    public async Task Capture_NoRoom_SaysWhereAndEndsWith1(string where, string named)
    {
        ProgramRun run = await CaptureAsync(Answer("packets"), $"'{OverlayProgram.Path}' capture --socket '{Socket}' {where}");

        Assert.Equal(1, run.ExitCode);
        Assert.StartsWith($"overlay: the capture cannot be written to {named}: No space left on device", run.Errors, StringComparison.Ordinal);
        Assert.EndsWith("; give -w a path that can be written and has room\n", run.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Capture_ReaderThatEnds_IsNoMistake()
    {
        // As much as no pipe takes.
        ProgramRun run = await CaptureAsync(
            Answer(new string('p', 4 << 20)), $"{{ '{OverlayProgram.Path}' capture -w - --socket '{Socket}'; echo $? > '{_folder.FullName}/code'; }} | head -c 1");

        Assert.Equal("p", run.Output);
        Assert.Equal(("", "0\n"), (run.Errors, await File.ReadAllTextAsync($"{_folder.FullName}/code")));
    }

    [Fact]
    public async Task Capture_DaemonThatEndsAmidIt_SaysSo()
    {
        ProgramRun run = await CaptureAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npackets", $"'{OverlayProgram.Path}' capture -w '{_folder.FullName}/part' --socket '{Socket}'");

        Assert.Equal((1, $"overlay: overlayd at {Socket} ended amid the capture, which lacks its end; see its log\n"), (run.ExitCode, run.Errors));
        Assert.Equal("packets", await File.ReadAllTextAsync($"{_folder.FullName}/part"));
    }

    [Fact]
    public void AnyCommand_NoRoomOnStandardOutput_SaysSoAndEndsWith1()
    {
        ProgramRun run = ProgramRun.Start("sh", "-c", $"'{OverlayProgram.Path}' man > /dev/full");

        Assert.Equal((1, "overlay: standard output cannot be written to: No space left on device; send it elsewhere, or make room\n"), (run.ExitCode, run.Errors));
    }

    private static string Answer(string body) => $"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}";

    private async Task<ProgramRun> CaptureAsync(string answer, string script)
    {
        Task served = OneAnswer.ServeAsync(Socket, answer, $"{LocalApi.CapturePath}?");
        ProgramRun run = await Task.Factory.StartNew(() => ProgramRun.Start("sh", "-c", script), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        // It may be hung up on.
        await Task.WhenAny(served);
        return run;
    }
}
