using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Overlay.Cli.Conformance;

/// <summary>Measures the way to a server: round trips of small datagrams, then TCP with one stream and with four.</summary>
internal static class Measurement
{
    private const int RoundTrips = 2000;
    private const int SmallBytes = 64;
    private const int ParallelStreams = 4;
    private const int ReplyMilliseconds = 1000;

    /// <param name="server">At the other end.</param>
    /// <param name="seconds">Of each TCP measurement.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <exception cref="SocketException">The server cannot be reached.</exception>
    /// <exception cref="InvalidDataException">No datagram came back.</exception>
    public static async Task<Figures> RunAsync(IPEndPoint server, double seconds, CancellationToken cancellation)
    {
        double[] trips = await Task.Run(() => RoundTripsTo(server), cancellation).ConfigureAwait(false);
        double one = await Transfer.MeasureAsync(server, seconds, 1, cancellation).ConfigureAwait(false);
        double four = await Transfer.MeasureAsync(server, seconds, ParallelStreams, cancellation).ConfigureAwait(false);
        return new Figures(trips[trips.Length / 2], trips[trips.Length * 99 / 100], one, four);
    }

    /// <summary>The middle of several measurements, figure by figure.</summary>
    public static Figures Median(IReadOnlyList<Figures> rounds)
    {
        return new Figures(
            Middle(each => each.LatencyMicroseconds), Middle(each => each.LatencyMicroseconds99), Middle(each => each.ThroughputBits), Middle(each => each.ParallelBits));

        double Middle(Func<Figures, double> figure) => rounds.Select(figure).Order().ElementAt(rounds.Count / 2);
    }

    /// <returns>Microseconds, the least first.</returns>
    private static double[] RoundTripsTo(IPEndPoint server)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = ReplyMilliseconds };
        socket.Connect(server);
        byte[] datagram = new byte[SmallBytes], answer = new byte[SmallBytes];
        ulong token = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));
        var trips = new List<double>(RoundTrips);
        int lost = 0;
        for (int number = 0; number < RoundTrips && lost < 3; number++)
        {
            Datagram.Write(datagram, Datagram.Echo, token, number);
            long sent = Stopwatch.GetTimestamp();
            socket.Send(datagram);
            try
            {
                while (socket.Receive(answer) != answer.Length || !answer.AsSpan().SequenceEqual(datagram)) continue;
                trips.Add(Stopwatch.GetElapsedTime(sent).TotalMicroseconds);
            }
            catch (SocketException exception) when (exception.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock)
            {
                lost++;
            }
        }
        if (trips.Count == 0) throw new InvalidDataException($"no datagram came back from {server}");
        trips.Sort();
        return [.. trips];
    }
}
