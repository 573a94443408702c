using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Overlay.Cli.Conformance;

/// <summary>Lines of JSON over a connection.</summary>
internal static class Exchange
{
    public const int DefaultPort = 14_790;

    private const int MaxLine = 1 << 20;

    public static async Task SendAsync<T>(Socket socket, T message, JsonTypeInfo<T> type, CancellationToken cancellation)
    {
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(message, type), (byte)'\n'];
        for (int sent = 0; sent < line.Length;) sent += await socket.SendAsync(line.AsMemory(sent), cancellation).ConfigureAwait(false);
    }

    /// <summary>Reads one line and not a byte beyond it.</summary>
    /// <exception cref="InvalidDataException">What came is no line of JSON.</exception>
    public static async Task<T> ReadAsync<T>(Socket socket, JsonTypeInfo<T> type, CancellationToken cancellation)
        where T : class
    {
        var line = new List<byte>();
        byte[] octet = new byte[1];
        while (await socket.ReceiveAsync(octet, cancellation).ConfigureAwait(false) == 1 && octet[0] != '\n')
        {
            line.Add(octet[0]);
            if (line.Count > MaxLine) throw new InvalidDataException("a line that does not end");
        }
        try
        {
            return JsonSerializer.Deserialize([.. line], type) ?? throw new InvalidDataException("null");
        }
        catch (JsonException exception)
        {
            throw new InvalidDataException($"'{Encoding.UTF8.GetString([.. line.Take(80)])}' is no answer of 'overlay conformance serve'", exception);
        }
    }

    /// <summary>Asks a server one thing.</summary>
    /// <exception cref="SocketException">It cannot be reached.</exception>
    /// <exception cref="InvalidDataException">Something else listens there.</exception>
    public static async Task<Reply> AskAsync(IPEndPoint server, Request request, CancellationToken cancellation)
    {
        using Socket socket = await ConnectAsync(server, cancellation).ConfigureAwait(false);
        await SendAsync(socket, request, MessageJson.Default.Request, cancellation).ConfigureAwait(false);
        return await ReadAsync(socket, MessageJson.Default.Reply, cancellation).ConfigureAwait(false);
    }

    public static async Task<Socket> ConnectAsync(IPEndPoint server, CancellationToken cancellation)
    {
        var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(server, cancellation).ConfigureAwait(false);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>The address that the other end has, without the form in which IPv4 is shown to an IPv6 socket.</summary>
    public static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}
