namespace Overlay.SystemTests.Lab;

/// <summary>tcpdump(8) on a device of a node: the overlay's, unless another is named.</summary>
internal sealed class DeviceCapture : IDisposable
{
    private const int FileHeader = 24;
    private const int RecordHeader = 16;
    private const int EthernetHeader = 14;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly DirectoryInfo _directory;
    private readonly RunningProcess _tcpdump;

    private DeviceCapture(DirectoryInfo directory, RunningProcess tcpdump)
    {
        _directory = directory;
        _tcpdump = tcpdump;
    }

    public string File => FileIn(_directory);

    /// <param name="node">With a daemon.</param>
    /// <param name="direction">in: what the daemon writes; out: what it reads.</param>
    /// <param name="filter">What to capture.</param>
    /// <param name="device">Where.</param>
    public static async Task<DeviceCapture> StartAsync(LabNode node, string direction, string filter, string device = "overlay0")
    {
        DirectoryInfo directory = NetworkNamespace.CreateDirectory();
        RunningProcess tcpdump = node.Host.Start(
            ["tcpdump", "-i", device, "-Q", direction, "-n", "-U", "-Z", "root", "-B", "16384", "-w", FileIn(directory), filter]);
        await tcpdump.WaitForTextAsync("listening on", Deadline);
        return new DeviceCapture(directory, tcpdump);
    }

    /// <summary>The packets from their IP headers on, as soon as there are so many.</summary>
    public async Task<List<byte[]>> StopAsync(int count) => [.. (await StopWithEthernetAsync(count)).Select(frame => frame[EthernetHeader..])];

    /// <summary>The whole frames, as soon as there are so many.</summary>
    public async Task<List<byte[]>> StopWithEthernetAsync(int count)
    {
        var waited = System.Diagnostics.Stopwatch.StartNew();
        while (Read().Count < count && waited.Elapsed < Deadline) await Task.Delay(20);
        _tcpdump.Signal(Libc.SignalTerminate);
        await _tcpdump.WaitForExitAsync(Deadline);
        return Read();
    }

    public void Dispose()
    {
        _tcpdump.Dispose();
        _directory.Delete(recursive: true);
    }

    private static string FileIn(DirectoryInfo directory) => Path.Combine(directory.FullName, "device.pcap");

    private List<byte[]> Read()
    {
        byte[] bytes = System.IO.File.ReadAllBytes(File);
        var frames = new List<byte[]>();
        for (int at = FileHeader; at + RecordHeader <= bytes.Length;)
        {
            int length = BitConverter.ToInt32(bytes, at + 8);
            at += RecordHeader;
            if (at + length > bytes.Length) break;
            frames.Add(bytes[at..(at + length)]);
            at += length;
        }
        return frames;
    }
}
