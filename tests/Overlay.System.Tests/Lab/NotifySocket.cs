using System.Net.Sockets;
using System.Text;

namespace Overlay.SystemTests.Lab;

/// <summary>The service manager's end of sd_notify(3).</summary>
internal sealed class NotifySocket : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    private readonly byte[] _buffer = new byte[4096];

    /// <param name="path">Where the daemon sends to; becomes its NOTIFY_SOCKET.</param>
    public NotifySocket(string path)
    {
        Path = path;
        _socket.Bind(new UnixDomainSocketEndPoint(path));
    }

    public string Path { get; }

    /// <summary>Reads messages until one has the line that is waited for.</summary>
    public async Task WaitForAsync(string line, CancellationToken expired)
    {
        while (true)
        {
            int length = await _socket.ReceiveAsync(_buffer, expired);
            if (Encoding.UTF8.GetString(_buffer, 0, length).Split('\n').Contains(line)) return;
        }
    }

    public void Dispose() => _socket.Dispose();
}
