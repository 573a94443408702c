using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Traffic;

/// <summary>TCP streams between two namespaces of which the receiver compares every byte.</summary>
internal static class TcpCheck
{
    private const int BufferSize = 256 * 1024;

    /// <summary>A connection that moves nothing for so long has failed.</summary>
    private static readonly TimeSpan StallDeadline = TimeSpan.FromSeconds(15);

    /// <summary>Sends and verifies.</summary>
    /// <param name="from">Namespace of the senders.</param>
    /// <param name="to">Namespace of the receiver.</param>
    /// <param name="address">Address of the receiver.</param>
    /// <param name="streams">Connections at a time.</param>
    /// <param name="bytes">Bytes sent on each.</param>
    /// <returns>The senders' addresses as the receiver saw them.</returns>
    /// <exception cref="InvalidDataException">Something else was received than was sent.</exception>
    /// <exception cref="SocketException">A connection failed or stalled.</exception>
    public static async Task<IReadOnlyList<IPAddress>> RunAsync(
        NetworkNamespace from, NetworkNamespace to, string address, int streams, long bytes)
    {
        IPAddress destination = IPAddress.Parse(address);
        using Socket listener = await to.OpenAsync(() => Listen(destination));
        int port = ((IPEndPoint)listener.LocalEndPoint!).Port;
        var senders = new List<Task>();
        var receivers = new List<Task>();
        var sources = new List<IPAddress>();
        for (int stream = 0; stream < streams; stream++)
        {
            ulong number = (ulong)stream;
            Socket client = await from.OpenAsync(() => NewSocket(destination.AddressFamily));
            using var expired = new CancellationTokenSource(StallDeadline);
            await client.ConnectAsync(new IPEndPoint(destination, port), expired.Token);
            Socket server = await listener.AcceptAsync(expired.Token);
            Bound(server);
            sources.Add(((IPEndPoint)server.RemoteEndPoint!).Address);
            receivers.Add(RunApart(() => Receive(server, number, bytes)));
            senders.Add(RunApart(() => Send(client, number, bytes)));
        }
        await Task.WhenAll([.. receivers, .. senders]);
        return sources;
    }

    private static Task RunApart(Action action) =>
        Task.Factory.StartNew(action, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static Socket Listen(IPAddress address)
    {
        Socket listener = NewSocket(address.AddressFamily);
        listener.Bind(new IPEndPoint(address, 0));
        listener.Listen();
        return listener;
    }

    private static Socket NewSocket(AddressFamily family) => Bound(new Socket(family, SocketType.Stream, ProtocolType.Tcp));

    private static Socket Bound(Socket socket)
    {
        socket.SendTimeout = socket.ReceiveTimeout = (int)StallDeadline.TotalMilliseconds;
        return socket;
    }

    private static void Send(Socket socket, ulong stream, long bytes)
    {
        using Socket owned = socket;
        var pattern = new Pattern(stream);
        byte[] buffer = new byte[BufferSize];
        for (long sent = 0; sent < bytes;)
        {
            Span<byte> next = buffer.AsSpan(0, (int)Math.Min(buffer.Length, bytes - sent));
            pattern.Fill(next, sent);
            for (int part = 0; part < next.Length;) part += socket.Send(next[part..]);
            sent += next.Length;
        }
        socket.Shutdown(SocketShutdown.Send);
        // The other side closes once it has verified all.
        if (socket.Receive(buffer) != 0) throw new InvalidDataException("the receiver sent something");
    }

    private static void Receive(Socket socket, ulong stream, long bytes)
    {
        using Socket owned = socket;
        var pattern = new Pattern(stream);
        byte[] buffer = new byte[BufferSize];
        long received = 0;
        for (int length = socket.Receive(buffer); length > 0; length = socket.Receive(buffer))
        {
            pattern.Verify(buffer.AsSpan(0, length), received);
            received += length;
        }
        if (received != bytes) throw new InvalidDataException($"received {received} bytes of {bytes}");
    }
}
