using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Traffic;

/// <summary>
/// UDP datagrams between two namespaces of which the receiver compares every byte. The sender keeps no more under way than a socket buffer
/// holds, so a datagram that is missing was lost or spoilt in between.
/// </summary>
internal static class UdpCheck
{
    private const int MaxUnderWay = 96 * 1024;
    private const int SolUdp = 17;
    private const int UdpSegment = 103;

    private static readonly TimeSpan StallDeadline = TimeSpan.FromSeconds(10);

    /// <summary>Sends and verifies, in order.</summary>
    /// <param name="from">Namespace of the sender.</param>
    /// <param name="to">Namespace of the receiver.</param>
    /// <param name="address">Address of the receiver.</param>
    /// <param name="sizes">Payload lengths, taken in turn.</param>
    /// <param name="count">Datagrams to send.</param>
    /// <param name="segments">
    /// Datagrams handed over in one call, as one super-packet (UDP_SEGMENT); needs a single size. 1: none.
    /// </param>
    /// <returns>The sender's address as the receiver saw it.</returns>
    /// <exception cref="InvalidDataException">A datagram was spoilt or out of order.</exception>
    /// <exception cref="SocketException">Datagrams were lost.</exception>
    public static async Task<IPAddress> RunAsync(
        NetworkNamespace from, NetworkNamespace to, string address, int[] sizes, int count, int segments = 1)
    {
        IPAddress destination = IPAddress.Parse(address);
        using Socket receiver = await to.OpenAsync(() => Bind(destination));
        using Socket sender = await from.OpenAsync(() => new Socket(destination.AddressFamily, SocketType.Dgram, ProtocolType.Udp));
        sender.SendTimeout = receiver.ReceiveTimeout = (int)StallDeadline.TotalMilliseconds;
        sender.Connect(receiver.LocalEndPoint!);
        if (segments > 1) SetSegmentSize(sender, sizes.Single());
        int window = Math.Max(1, MaxUnderWay / (sizes.Max() + 1024) / segments) * segments;
        using var credits = new SemaphoreSlim(window);
        Task<IPAddress> received = Task.Factory.StartNew(
            () => Receive(receiver, sizes, count, credits),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Task sent = Task.Factory.StartNew(
            () => Send(sender, sizes, count, segments, credits),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Task.WhenAll(received, sent);
        return await received;
    }

    private static Socket Bind(IPAddress address)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(address, 0));
        return socket;
    }

    private static void SetSegmentSize(Socket socket, int size)
    {
        Span<byte> value = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(value, size);
        socket.SetRawSocketOption(SolUdp, UdpSegment, value);
    }

    private static void Send(Socket socket, int[] sizes, int count, int segments, SemaphoreSlim credits)
    {
        var pattern = new Pattern(stream: 0);
        byte[] buffer = new byte[sizes.Max() * segments];
        for (int number = 0; number < count;)
        {
            int length = 0;
            for (int i = 0; i < segments && number < count; i++, number++)
            {
                if (!credits.Wait(StallDeadline)) throw new SocketException((int)SocketError.TimedOut);
                int size = sizes[number % sizes.Length];
                pattern.Fill(buffer.AsSpan(length, size), Offset(number));
                length += size;
            }
            socket.Send(buffer.AsSpan(0, length));
        }
    }

    private static IPAddress Receive(Socket socket, int[] sizes, int count, SemaphoreSlim credits)
    {
        var pattern = new Pattern(stream: 0);
        byte[] buffer = new byte[ushort.MaxValue + 1];
        EndPoint source = new IPEndPoint(socket.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0);
        for (int number = 0; number < count; number++)
        {
            int length = socket.ReceiveFrom(buffer, ref source);
            int size = sizes[number % sizes.Length];
            if (length != size) throw new InvalidDataException($"datagram {number} has {length} bytes, not {size}");
            pattern.Verify(buffer.AsSpan(0, length), Offset(number));
            credits.Release();
        }
        return ((IPEndPoint)source).Address;
    }

    // Every datagram starts at a place of its own, as far apart as the largest is long.
    private static long Offset(int number) => number * 65536L;
}
