using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Overlay.Cli.Conformance;

/// <summary>Bytes in bulk over TCP.</summary>
internal static class Transfer
{
    private const int BufferBytes = 256 * 1024;

    /// <summary>Sends for so long over several connections together.</summary>
    /// <returns>Bits a second that the server took.</returns>
    /// <exception cref="SocketException">The server cannot be reached.</exception>
    public static async Task<double> MeasureAsync(IPEndPoint server, double seconds, int streams, CancellationToken cancellation)
    {
        long started = Stopwatch.GetTimestamp();
        long[] bytes = await Task.WhenAll(Enumerable.Range(0, streams).Select(_ => UploadAsync(server, seconds, cancellation))).ConfigureAwait(false);
        return bytes.Sum() * 8 / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    private static async Task<long> UploadAsync(IPEndPoint server, double seconds, CancellationToken cancellation)
    {
        using Socket socket = await Exchange.ConnectAsync(server, cancellation).ConfigureAwait(false);
        await Exchange.SendAsync(socket, new Request("upload"), MessageJson.Default.Request, cancellation).ConfigureAwait(false);
        byte[] buffer = new byte[BufferBytes];
        long started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started).TotalSeconds < seconds) await socket.SendAsync(buffer, cancellation).ConfigureAwait(false);
        socket.Shutdown(SocketShutdown.Send);
        return (await Exchange.ReadAsync(socket, MessageJson.Default.Reply, cancellation).ConfigureAwait(false)).Bytes;
    }
}
