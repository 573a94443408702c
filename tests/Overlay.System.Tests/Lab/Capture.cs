using System.Text.RegularExpressions;

namespace Overlay.SystemTests.Lab;

/// <summary>tcpdump(8) on what a host sends over its underlay, below segmentation: on a wire each packet as the other side gets it.</summary>
internal sealed partial class Capture : IAsyncDisposable
{
    private const int BufferKibibytes = 64 * 1024;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(15);

    private readonly DirectoryInfo _directory;
    private readonly RunningProcess _tcpdump;

    private Capture(DirectoryInfo directory, RunningProcess tcpdump)
    {
        _directory = directory;
        _tcpdump = tcpdump;
    }

    /// <summary>Path of the capture.</summary>
    public string File => FileIn(_directory);

    /// <summary>Starts and waits until packets are being captured.</summary>
    public static async Task<Capture> StartAsync(NetworkNamespace host)
    {
        DirectoryInfo directory = NetworkNamespace.CreateDirectory();
        RunningProcess tcpdump = host.Start(
        [
            "tcpdump", "-i", LabNode.UnderlayDevice, "-Q", "out", "-n", "-U", "-Z", "root", "-B", $"{BufferKibibytes}",
            "-w", FileIn(directory), "ip or ip6",
        ]);
        var capture = new Capture(directory, tcpdump);
        await tcpdump.WaitForTextAsync("listening on", Deadline);
        return capture;
    }

    /// <summary>Ends the capture and reads it.</summary>
    /// <returns>What was sent to the tunnel's port, in order.</returns>
    /// <exception cref="InvalidDataException">The capture is not complete.</exception>
    public async Task<IReadOnlyList<CapturedDatagram>> StopAsync(int port)
    {
        _tcpdump.Signal(Libc.SignalTerminate);
        await _tcpdump.WaitForExitAsync(Deadline);
        if (!NothingMissed().IsMatch(_tcpdump.Errors)) throw new InvalidDataException($"the capture has gaps: {_tcpdump.Transcript}");
        return await Tshark.ReadAsync(File, port);
    }

    public ValueTask DisposeAsync()
    {
        _tcpdump.Dispose();
        _directory.Delete(recursive: true);
        return ValueTask.CompletedTask;
    }

    private static string FileIn(DirectoryInfo directory) => Path.Combine(directory.FullName, "underlay.pcap");

    [GeneratedRegex("^0 packets dropped by kernel", RegexOptions.Multiline)]
    private static partial Regex NothingMissed();
}
