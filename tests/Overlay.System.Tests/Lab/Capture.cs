using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;

namespace Overlay.SystemTests.Lab;

/// <summary>
/// tcpdump(8) on what a host sends over its underlay, below segmentation: on a wire each packet as the other side gets it.
/// </summary>
internal sealed partial class Capture : IAsyncDisposable
{
    private const int BufferKibibytes = 64 * 1024;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(15);

    private const int DiscardPort = 9;
    private const int TailLength = 1 << 20;

    private readonly LabNode _node;
    private readonly LabNode _peer;
    private readonly DirectoryInfo _directory;
    private readonly RunningProcess _tcpdump;

    private Capture(LabNode node, LabNode peer, DirectoryInfo directory, RunningProcess tcpdump)
    {
        _node = node;
        _peer = peer;
        _directory = directory;
        _tcpdump = tcpdump;
    }

    /// <summary>Path of the capture.</summary>
    public string File => FileIn(_directory);

    /// <summary>Starts and waits until packets are being captured.</summary>
    /// <param name="node">Whose packets to capture.</param>
    /// <param name="peer">A node that it reaches.</param>
    public static async Task<Capture> StartAsync(LabNode node, LabNode peer)
    {
        DirectoryInfo directory = NetworkNamespace.CreateDirectory();
        RunningProcess tcpdump = node.Host.Start(
        [
            "tcpdump", "-i", LabNode.UnderlayDevice, "-Q", "out", "-n", "-U", "-Z", "root", "-B", $"{BufferKibibytes}",
            "-w", FileIn(directory), "ip or ip6",
        ]);
        var capture = new Capture(node, peer, directory, tcpdump);
        await tcpdump.WaitForTextAsync("listening on", Deadline);
        return capture;
    }

    /// <summary>Ends the capture and reads it.</summary>
    /// <returns>What was sent to the tunnel's port, in order.</returns>
    /// <exception cref="InvalidDataException">The capture is not complete.</exception>
    public async Task<IReadOnlyList<CapturedDatagram>> StopAsync(int port, string encapsulation = "vxlan")
    {
        await CloseAsync();
        return await Tshark.ReadAsync(File, port, encapsulation);
    }

    /// <summary>Ends the capture; <see cref="File"/> holds it until this is disposed.</summary>
    /// <exception cref="InvalidDataException">The capture is not complete.</exception>
    public async Task CloseAsync()
    {
        await WriteMarkAsync();
        _tcpdump.Signal(Libc.SignalTerminate);
        await _tcpdump.WaitForExitAsync(Deadline);
        if (!NothingMissed().IsMatch(_tcpdump.Errors)) throw new InvalidDataException($"the capture has gaps: {_tcpdump.Transcript}");
    }

    public ValueTask DisposeAsync()
    {
        _tcpdump.Dispose();
        _directory.Delete(recursive: true);
        return ValueTask.CompletedTask;
    }

    // tcpdump throws away what it has not read yet when it ends, so the last packet must be seen in the file first.
    private async Task WriteMarkAsync()
    {
        byte[] mark = Guid.NewGuid().ToByteArray();
        IPAddress destination = IPAddress.Parse(_peer.Underlay);
        using (Socket socket = await _node.Host.OpenAsync(() => new Socket(destination.AddressFamily, SocketType.Dgram, ProtocolType.Udp)))
        {
            socket.SendTo(mark, new IPEndPoint(destination, DiscardPort));
        }
        using var expired = new CancellationTokenSource(Deadline);
        using var clock = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (!EndsWith(mark)) await clock.WaitForNextTickAsync(expired.Token);
    }

    private bool EndsWith(byte[] mark)
    {
        using var file = new FileStream(File, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        // A neighbour's packet may follow the mark, or many that probe paths.
        byte[] tail = new byte[Math.Min(file.Length, TailLength)];
        file.Seek(-tail.Length, SeekOrigin.End);
        file.ReadExactly(tail);
        return tail.AsSpan().IndexOf(mark) >= 0;
    }

    private static string FileIn(DirectoryInfo directory) => Path.Combine(directory.FullName, "underlay.pcap");

    [GeneratedRegex("^0 packets dropped by kernel", RegexOptions.Multiline)]
    private static partial Regex NothingMissed();
}
