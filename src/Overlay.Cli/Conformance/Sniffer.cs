using System.Net.Sockets;
using Overlay.Wire;

namespace Overlay.Cli.Conformance;

/// <summary>
/// Sees the IP headers of datagrams that arrive (packet(7)), which sockets of UDP do not show here: their traffic classes. Needs CAP_NET_RAW.
/// </summary>
internal sealed class Sniffer : IDisposable
{
    private const int AllProtocols = 0x0300;

    private readonly Socket _socket;

    /// <exception cref="SocketException">It is not allowed.</exception>
    public Sniffer() => _socket = new Socket(AddressFamily.Packet, SocketType.Dgram, (ProtocolType)AllProtocols);

    /// <summary>Calls for every datagram to a port until it is disposed.</summary>
    /// <param name="port">UDP destination port.</param>
    /// <param name="seen">Given the UDP payload and the traffic class.</param>
    public void Start(int port, Action<byte[], byte> seen) => new Thread(() => Run(port, seen)) { IsBackground = true, Name = "sniffer" }.Start();

    public void Dispose() => _socket.Dispose();

    private void Run(int port, Action<byte[], byte> seen)
    {
        byte[] packet = new byte[ushort.MaxValue + 1];
        try
        {
            while (true)
            {
                int length = _socket.Receive(packet);
                if (Read(packet.AsSpan(0, length), port, out ReadOnlySpan<byte> payload, out byte trafficClass)) seen(payload.ToArray(), trafficClass);
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The end: the socket was closed.
        }
    }

    private static bool Read(ReadOnlySpan<byte> packet, int port, out ReadOnlySpan<byte> payload, out byte trafficClass)
    {
        payload = default;
        trafficClass = 0;
        ReadOnlySpan<byte> message;
        byte protocol;
        if (Ipv4Packet.TryParse(packet, out Ipv4Packet v4) == WireStatus.Ok && !v4.IsFragment)
        {
            message = v4.Payload;
            (protocol, trafficClass) = (v4.Protocol, v4.TrafficClass);
        }
        else if (Ipv6Packet.TryParse(packet, out Ipv6Packet v6) == WireStatus.Ok && !v6.IsFragment)
        {
            message = v6.UpperPayload;
            (protocol, trafficClass) = (v6.UpperProtocol, v6.TrafficClass);
        }
        else
        {
            return false;
        }
        if (protocol != IpProtocols.Udp || UdpHeader.TryParse(message, out UdpHeader udp) != WireStatus.Ok || udp.DestinationPort != port) return false;
        payload = udp.Payload;
        return true;
    }
}
