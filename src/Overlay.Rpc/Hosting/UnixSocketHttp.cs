using System.Net.Sockets;

namespace Overlay.Rpc.Hosting;

/// <summary>HTTP to a server on a Unix socket.</summary>
public static class UnixSocketHttp
{
    /// <summary>For any URL: all of them lead to the socket.</summary>
    public static SocketsHttpHandler CreateHandler(string path) => new() { ConnectCallback = (_, cancellation) => ConnectAsync(path, cancellation) };

    private static async ValueTask<Stream> ConnectAsync(string path, CancellationToken cancellation)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellation).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
