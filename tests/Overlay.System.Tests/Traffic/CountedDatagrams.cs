using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Traffic;

/// <summary>
/// A steady stream of numbered datagrams, about one a millisecond, that tells which were lost while something else went on.
/// </summary>
internal sealed class CountedDatagrams : IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan TailDeadline = TimeSpan.FromSeconds(3);

    private readonly Socket _sender;
    private readonly Socket _receiver;
    private readonly CancellationTokenSource _stopSending = new();
    private readonly CancellationTokenSource _stopReceiving = new();
    private readonly SemaphoreSlim _arrivals = new(0);
    private readonly HashSet<int> _received = [];
    private readonly Task<int> _sending;
    private readonly Task _receiving;

    private CountedDatagrams(Socket sender, Socket receiver)
    {
        _sender = sender;
        _receiver = receiver;
        _receiving = ReceiveAsync();
        _sending = SendAsync();
    }

    public static async Task<CountedDatagrams> StartAsync(NetworkNamespace from, NetworkNamespace to, string address)
    {
        var destination = new IPEndPoint(IPAddress.Parse(address), 0);
        Socket receiver = await to.OpenAsync(() => new Socket(destination.AddressFamily, SocketType.Dgram, ProtocolType.Udp));
        receiver.Bind(destination);
        Socket sender = await from.OpenAsync(() => new Socket(destination.AddressFamily, SocketType.Dgram, ProtocolType.Udp));
        sender.Connect(receiver.LocalEndPoint!);
        return new CountedDatagrams(sender, receiver);
    }

    /// <summary>Waits until a number of datagrams more have arrived.</summary>
    /// <exception cref="OperationCanceledException">They have not, by the deadline.</exception>
    public async Task PassAsync(int datagrams, TimeSpan deadline)
    {
        while (_arrivals.Wait(0))
        {
            // Those of before do not count.
        }
        using var expired = new CancellationTokenSource(deadline);
        for (int i = 0; i < datagrams; i++) await _arrivals.WaitAsync(expired.Token);
    }

    /// <summary>Ends the stream and gives what is under way the time to arrive.</summary>
    /// <returns>How many were sent, and the numbers of those that never arrived.</returns>
    public async Task<(int Sent, IReadOnlyList<int> Lost)> StopAsync()
    {
        await _stopSending.CancelAsync();
        int sent = await _sending;
        var waited = Stopwatch.StartNew();
        while (_received.Count < sent && waited.Elapsed < TailDeadline) await _arrivals.WaitAsync(TailDeadline - waited.Elapsed);
        await _stopReceiving.CancelAsync();
        await _receiving;
        return (sent, [.. Enumerable.Range(0, sent).Where(number => !_received.Contains(number))]);
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _sender.Dispose();
        _receiver.Dispose();
        _stopSending.Dispose();
        _stopReceiving.Dispose();
        _arrivals.Dispose();
    }

    private async Task<int> SendAsync()
    {
        byte[] datagram = new byte[64];
        using var clock = new PeriodicTimer(Interval);
        int number = 0;
        while (!_stopSending.IsCancellationRequested)
        {
            BinaryPrimitives.WriteInt32BigEndian(datagram, number++);
            try
            {
                await _sender.SendAsync(datagram);
            }
            catch (SocketException)
            {
                // An ICMP error came back for one that was sent before; this one is missing at the receiver and counted there.
            }
            await clock.WaitForNextTickAsync();
        }
        return number;
    }

    private async Task ReceiveAsync()
    {
        byte[] datagram = new byte[64];
        try
        {
            while (true)
            {
                int length = await _receiver.ReceiveAsync(datagram, _stopReceiving.Token);
                int number = BinaryPrimitives.ReadInt32BigEndian(datagram.AsSpan(0, length));
                if (!_received.Add(number)) throw new InvalidDataException($"datagram {number} arrived twice");
                _arrivals.Release();
            }
        }
        catch (OperationCanceledException) when (_stopReceiving.IsCancellationRequested)
        {
            // StopAsync has what it waited for.
        }
    }
}
