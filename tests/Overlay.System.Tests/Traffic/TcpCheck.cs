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
    public static Task<IReadOnlyList<IPAddress>> RunAsync(
        NetworkNamespace from, NetworkNamespace to, string address, int streams, long bytes) =>
        RunAsync(from, to, address, streams, bytes, CancellationToken.None);

    /// <summary>As the other, one stream, until told to stop.</summary>
    public static Task RunAsync(NetworkNamespace from, NetworkNamespace to, string address, CancellationToken stop) =>
        RunAsync(from, to, address, 1, long.MaxValue, stop);

    private static async Task<IReadOnlyList<IPAddress>> RunAsync(
        NetworkNamespace from, NetworkNamespace to, string address, int streams, long bytes, CancellationToken stop)
    {
        IPAddress destination = IPAddress.Parse(address);
        using Socket listener = await to.OpenAsync(() => Listen(destination));
        int port = ((IPEndPoint)listener.LocalEndPoint!).Port;
        var senders = new List<Task<long>>();
        var receivers = new List<Task<long>>();
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
            receivers.Add(RunApart(() => Receive(server, number)));
            senders.Add(RunApart(() => Send(client, number, bytes, stop)));
        }
        await Task.WhenAll([.. receivers, .. senders]);
        for (int stream = 0; stream < streams; stream++)
        {
            (long received, long sent) = (await receivers[stream], await senders[stream]);
            if (received != sent) throw new InvalidDataException($"received {received} bytes of {sent}");
        }
        return sources;
    }

    private static Task<long> RunApart(Func<long> action) =>
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

    private static long Send(Socket socket, ulong stream, long bytes, CancellationToken stop)
    {
        using Socket owned = socket;
        var pattern = new Pattern(stream);
        byte[] buffer = new byte[BufferSize];
        long sent = 0;
        while (sent < bytes && !stop.IsCancellationRequested)
        {
            Span<byte> next = buffer.AsSpan(0, (int)Math.Min(buffer.Length, bytes - sent));
            pattern.Fill(next, sent);
            for (int part = 0; part < next.Length;) part += socket.Send(next[part..]);
            sent += next.Length;
        }
        socket.Shutdown(SocketShutdown.Send);
        // The other side closes once it has verified all.
        if (socket.Receive(buffer) != 0) throw new InvalidDataException("the receiver sent something");
        return sent;
    }

    private static long Receive(Socket socket, ulong stream)
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
        return received;
    }
}
