using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Mtu;

/// <summary>A TCP connection from the pod of the first node to that of the second, whose start is timed and whose losses are counted.</summary>
internal sealed class BulkTransfer : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(5);

    private readonly Stopwatch _clock;
    private readonly Socket _client;
    private readonly Socket _server;

    private readonly TimeSpan _connected;

    private BulkTransfer(Stopwatch clock, TimeSpan connected, Socket client, Socket server) =>
        (_clock, _connected, _client, _server) = (clock, connected, client, server);

    /// <summary>Connects; time counts from here.</summary>
    public static async Task<BulkTransfer> ConnectAsync(LabNetwork network, AddressFamily family)
    {
        string to = family == AddressFamily.InterNetwork ? network.B.Pod4 : network.B.Pod6;
        using Socket listener = await network.B.Pod.OpenAsync(() => Listen(IPAddress.Parse(to)));
        Socket client = await network.A.Pod.OpenAsync(() => new Socket(family, SocketType.Stream, ProtocolType.Tcp));
        client.SendTimeout = (int)Deadline.TotalMilliseconds;
        var clock = Stopwatch.StartNew();
        await client.ConnectAsync(listener.LocalEndPoint!);
        TimeSpan connected = clock.Elapsed;
        Socket server = await listener.AcceptAsync();
        server.ReceiveTimeout = (int)Deadline.TotalMilliseconds;
        return new BulkTransfer(clock, connected, client, server);
    }

    /// <returns>When all had arrived, counted from the connecting.</returns>
    public async Task<TimeSpan> SendAsync(int bytes)
    {
        // On a thread of its own: the pool, whose threads other waits hold, starts another only after half a second or two.
        Task<TimeSpan> received = Task.Factory.StartNew(
            () => Receive(bytes), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        _client.Send(new byte[bytes]);
        return await received;
    }

    /// <summary>As <see cref="SendAsync"/>, which must be done in time.</summary>
    public async Task SendWithinAsync(TimeSpan most, int bytes, LabNetwork network)
    {
        TimeSpan took = await SendAsync(bytes);
        if (took <= most) return;
        string counters = await network.A.Pod.CheckAsync("nstat", "-as");
        Assert.Fail($"{bytes} bytes had arrived after {took}, and connecting took {_connected} of that: {counters}");
    }

    /// <summary>
    /// Segments that TCP of the sending pod had to send again: all that it did less those that the receiver says it had already (RFC 2883), as it has
    /// when an acknowledgement comes late, or packets of one processor overtake those of another on a busy machine.
    /// </summary>
    public static async Task<long> LostAsync(LabNetwork network)
    {
        const string again = "TcpRetransSegs", twice = "TcpExtTCPDSACKRecvSegs";
        Dictionary<string, long> counters = await KernelCounters.ReadAsync(network.A.Pod, again, twice);
        return counters[again] - counters[twice];
    }

    /// <summary>Fails where more was lost than before. What the receiver had twice it may say a moment later.</summary>
    public static async Task LostNothingSinceAsync(LabNetwork network, long before)
    {
        var waited = Stopwatch.StartNew();
        long now = await LostAsync(network);
        while (now > before && waited.Elapsed < Settling) now = await LostAsync(network);
        Assert.True(now <= before, $"{now - before} segments were lost");
    }

    public void Dispose()
    {
        _client.Dispose();
        _server.Dispose();
    }

    private TimeSpan Receive(int bytes)
    {
        byte[] buffer = new byte[1 << 16];
        while (bytes > 0)
        {
            int length = _server.Receive(buffer.AsSpan(0, Math.Min(buffer.Length, bytes)));
            Assert.NotEqual(0, length);
            bytes -= length;
        }
        return _clock.Elapsed;
    }

    private static Socket Listen(IPAddress address)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(address, 0));
        socket.Listen();
        return socket;
    }
}
