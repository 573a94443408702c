using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Overlay.Rpc.Hosting;

/// <summary>Tells the service manager how the daemon is (sd_notify(3)); does nothing where none asked for it.</summary>
public sealed class ServiceNotification(ILogger log)
{
    private readonly string? _socket = Environment.GetEnvironmentVariable("NOTIFY_SOCKET");

    public void Ready() => Send("READY=1");

    public void Reloading()
    {
        long microseconds = Stopwatch.GetTimestamp() / (Stopwatch.Frequency / 1_000_000);
        Send(string.Create(CultureInfo.InvariantCulture, $"RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    public void Stopping() => Send("STOPPING=1");

    private void Send(string state)
    {
        if (string.IsNullOrEmpty(_socket)) return;
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            // An abstract address is written with @ for its leading zero.
            socket.Connect(new UnixDomainSocketEndPoint(_socket[0] == '@' ? $"\0{_socket[1..]}" : _socket));
            socket.Send(Encoding.UTF8.GetBytes(state));
        }
        catch (SocketException exception)
        {
            log.LogWarning("the service manager cannot be told {State}: {Problem}", state.Split('\n')[0], exception.Message);
        }
    }
}
