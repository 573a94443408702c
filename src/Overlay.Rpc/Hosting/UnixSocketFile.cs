using System.Net;
using System.Net.Sockets;

namespace Overlay.Rpc.Hosting;

/// <summary>The file of a Unix socket that a server listens on.</summary>
public static class UnixSocketFile
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>
    /// A socket at the path that only its owner may use. The mode is set before anybody can connect: a socket that does not listen yet refuses.
    /// </summary>
    public static Socket Bind(EndPoint endPoint)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Bind(endPoint);
            File.SetUnixFileMode(endPoint.ToString()!, OwnerOnly);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Removes the socket that an earlier server left. It is there only once nobody answers on it.</summary>
    /// <exception cref="SocketFileException">Somebody listens there, or the path is no socket.</exception>
    public static void RemoveStale(string path)
    {
        if (!File.Exists(path)) return;
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException exception) when (exception.SocketErrorCode == SocketError.ConnectionRefused)
        {
            if (IsFile(path)) throw new SocketFileException(path, isListening: false);
            File.Delete(path);
            return;
        }
        throw new SocketFileException(path, isListening: true);
    }

    /// <summary>A file opens; a socket does not (ENXIO). For writing as well, so that a FIFO opens at once.</summary>
    private static bool IsFile(string path)
    {
        try
        {
            using FileStream file = new(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }
}
