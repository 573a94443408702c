using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Overlay.Cli.Conformance;

/// <summary>The other end of a conformance run: echoes and counts datagrams, takes and sends bytes, and goes to others in its own name.</summary>
internal sealed class Server : IDisposable
{
    private const int BufferBytes = 256 * 1024;
    private const int ReceiveBytes = 4 << 20;
    private const double MostSeconds = 120;

    private static readonly TimeSpan RequestDeadline = TimeSpan.FromMinutes(5);

    private readonly string _id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
    private readonly Counts _counts = new();
    private readonly List<Socket> _listeners = [];
    private readonly List<Socket> _datagrams = [];
    private Sniffer? _sniffer;

    /// <summary>Why traffic classes are not seen; null: they are.</summary>
    public string? Blindness { get; private set; }

    /// <summary>Listens; nothing is served before <see cref="RunAsync"/>.</summary>
    /// <exception cref="SocketException">An address or port cannot be had.</exception>
    public void Listen(IEnumerable<IPAddress> addresses, int port)
    {
        foreach (IPAddress address in addresses)
        {
            var stream = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            _listeners.Add(stream);
            Bind(stream, address, port);
            stream.Listen();
            var datagrams = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp) { ReceiveBufferSize = ReceiveBytes };
            _datagrams.Add(datagrams);
            Bind(datagrams, address, port);
        }
        try
        {
            _sniffer = new Sniffer();
            _sniffer.Start(port, Seen);
        }
        catch (SocketException exception)
        {
            Blindness = $"traffic classes are not seen ({exception.Message}); run it as root";
        }
    }

    /// <summary>Serves until it is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var echoes = _datagrams.Select(socket => new Thread(() => Echo(socket)) { IsBackground = true, Name = "echo" }).ToList();
        echoes.ForEach(thread => thread.Start());
        await Task.WhenAll(_listeners.Select(listener => AcceptAsync(listener, cancellation))).ConfigureAwait(false);
    }

    public void Dispose()
    {
        _listeners.ForEach(socket => socket.Dispose());
        _datagrams.ForEach(socket => socket.Dispose());
        _sniffer?.Dispose();
    }

    private static void Bind(Socket socket, IPAddress address, int port)
    {
        if (address.AddressFamily == AddressFamily.InterNetworkV6) socket.DualMode = false;
        socket.Bind(new IPEndPoint(address, port));
    }

    private void Seen(byte[] payload, byte trafficClass)
    {
        if (Datagram.TryRead(payload, out _, out ulong token, out _)) _counts.Classified(token, trafficClass);
    }

    private void Echo(Socket socket)
    {
        byte[] buffer = new byte[ushort.MaxValue + 1];
        var sender = new SocketAddress(socket.AddressFamily);
        try
        {
            while (true)
            {
                int length = socket.ReceiveFrom(buffer, SocketFlags.None, sender);
                if (!Datagram.TryRead(buffer.AsSpan(0, length), out byte kind, out ulong token, out int number)) continue;
                if (kind == Datagram.Counted) _counts.Arrived(token, number);
                else if (kind == Datagram.Echo) socket.SendTo(buffer.AsSpan(0, length), SocketFlags.None, sender);
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The end: the socket was closed. An echo that the kernel refuses is lost like any other.
            if (exception is SocketException { SocketErrorCode: not SocketError.OperationAborted and not SocketError.Interrupted } && !socket.SafeHandle.IsClosed) Echo(socket);
        }
    }

    private async Task AcceptAsync(Socket listener, CancellationToken cancellation)
    {
        try
        {
            while (true) _ = ServeAsync(await listener.AcceptAsync(cancellation).ConfigureAwait(false), cancellation);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // Told to end.
        }
    }

    private async Task ServeAsync(Socket connection, CancellationToken cancellation)
    {
        using (connection)
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            deadline.CancelAfter(RequestDeadline);
            try
            {
                connection.NoDelay = true;
                Request request = await Exchange.ReadAsync(connection, MessageJson.Default.Request, deadline.Token).ConfigureAwait(false);
                Reply reply = await AnswerAsync(connection, request, deadline.Token).ConfigureAwait(false);
                await Exchange.SendAsync(connection, reply, MessageJson.Default.Reply, deadline.Token).ConfigureAwait(false);
                connection.Shutdown(SocketShutdown.Send);
            }
            catch (Exception exception) when (exception is SocketException or InvalidDataException or OperationCanceledException)
            {
                // Whoever asked sees its connection end.
            }
        }
    }

    private async Task<Reply> AnswerAsync(Socket connection, Request request, CancellationToken cancellation)
    {
        switch (request.Kind)
        {
            case "hello":
                var from = (IPEndPoint)connection.RemoteEndPoint!;
                return new Reply { Id = _id, SeenAddress = Exchange.Plain(from.Address).ToString(), SeenPort = from.Port, Addresses = Own() };
            case "upload":
                return await TakeAsync(connection, cancellation).ConfigureAwait(false);
            case "count":
                return new Reply { Datagrams = _counts.Read(request.Token) };
            case "reach" or "measure":
                return await GoAsync(request, cancellation).ConfigureAwait(false);
            default:
                return new Reply { Error = $"'{request.Kind}' is nothing that this version serves; run the same version at both ends" };
        }
    }

    /// <summary>Goes to another server in this one's name, to which it says nothing but what this program says.</summary>
    private static async Task<Reply> GoAsync(Request request, CancellationToken cancellation)
    {
        if (!IPAddress.TryParse(request.Address, out IPAddress? address)) return new Reply { Error = $"'{request.Address}' is no IP address" };
        var to = new IPEndPoint(address, request.Port);
        try
        {
            if (request.Kind == "reach") return await Exchange.AskAsync(to, new Request("hello"), cancellation).ConfigureAwait(false);
            return new Reply { Figures = await Measurement.RunAsync(to, Math.Min(request.Seconds, MostSeconds), cancellation).ConfigureAwait(false) };
        }
        catch (Exception exception) when (exception is SocketException or InvalidDataException)
        {
            return new Reply { Error = $"{to}: {exception.Message}" };
        }
    }

    private static async Task<Reply> TakeAsync(Socket connection, CancellationToken cancellation)
    {
        byte[] buffer = new byte[BufferBytes];
        using var digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long bytes = 0;
        while (await connection.ReceiveAsync(buffer, cancellation).ConfigureAwait(false) is > 0 and var length)
        {
            digest.AppendData(buffer, 0, length);
            bytes += length;
        }
        return new Reply { Bytes = bytes, Digest = Convert.ToHexStringLower(digest.GetHashAndReset()) };
    }

    public static IReadOnlyList<string> Own() =>
    [
        .. NetworkInterface.GetAllNetworkInterfaces()
            .SelectMany(each => each.GetIPProperties().UnicastAddresses)
            .Select(own => own.Address)
            .Where(address => !IPAddress.IsLoopback(address) && !address.IsIPv6LinkLocal)
            .Select(address => address.ToString()).Order(StringComparer.Create(CultureInfo.InvariantCulture, false)),
    ];
}
