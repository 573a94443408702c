using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Overlay.Cli.Conformance;

/// <summary>A UDP socket towards a server, whose fragmentation and traffic class can be set.</summary>
internal sealed class UdpProbe : IDisposable
{
    private const int Tries = 3;
    private const int ReplyMilliseconds = 700;
    private const int BufferBytes = 4 << 20;

    // Of Linux: bits/in.h.
    private const int IpLevel = 0, Ipv6Level = 41;
    private const int IpTos = 1, IpMtuDiscover = 10, IpMtu = 14;
    private const int Ipv6MtuDiscover = 23, Ipv6Mtu = 24, Ipv6TrafficClass = 67;
    private const int DiscoverNever = 0, DiscoverAlways = 2;

    private readonly Socket _socket;
    private readonly bool _isIpv6;
    private int _number;

    public UdpProbe(IPEndPoint server)
    {
        _isIpv6 = server.AddressFamily == AddressFamily.InterNetworkV6;
        _socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp)
        {
            ReceiveTimeout = ReplyMilliseconds,
            ReceiveBufferSize = BufferBytes,
            SendBufferSize = BufferBytes,
        };
        _socket.Connect(server);
    }

    /// <summary>Of the datagrams sent here.</summary>
    public ulong Token { get; } = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));

    public IPEndPoint Local => (IPEndPoint)_socket.LocalEndPoint!;

    /// <summary>Bytes of the headers in front of the payload.</summary>
    public int Headers => _isIpv6 ? 48 : 28;

    /// <summary>What the kernel takes for the MTU of the way, in bytes of an IP packet.</summary>
    public int Mtu
    {
        get
        {
            Span<byte> value = stackalloc byte[sizeof(int)];
            _socket.GetRawSocketOption(_isIpv6 ? Ipv6Level : IpLevel, _isIpv6 ? Ipv6Mtu : IpMtu, value);
            return BitConverter.ToInt32(value);
        }
    }

    /// <summary>True: datagrams leave whole or not at all.</summary>
    public bool DontFragment
    {
        set => Set(_isIpv6 ? Ipv6MtuDiscover : IpMtuDiscover, value ? DiscoverAlways : DiscoverNever);
    }

    /// <summary>DSCP and ECN.</summary>
    public int TrafficClass
    {
        set => Set(_isIpv6 ? Ipv6TrafficClass : IpTos, value);
    }

    /// <summary>Sends a datagram that is to come back as it is.</summary>
    /// <param name="length">Bytes of the UDP payload.</param>
    /// <returns>Null: it came back. Otherwise what happened.</returns>
    public string? Echo(int length)
    {
        byte[] datagram = new byte[length];
        byte[] answer = new byte[ushort.MaxValue + 1];
        string trouble = "";
        for (int attempt = 0; attempt < Tries; attempt++)
        {
            Datagram.Write(datagram, Datagram.Echo, Token, _number++);
            try
            {
                _socket.Send(datagram);
                while (true)
                {
                    int received = _socket.Receive(answer);
                    if (answer.AsSpan(0, received).SequenceEqual(datagram)) return null;
                    bool isOurs = Datagram.TryRead(answer.AsSpan(0, received), out _, out ulong token, out int number) && token == Token && number == _number - 1;
                    if (isOurs) return $"{received} of {length} bytes came back, and not as they were sent";
                }
            }
            catch (SocketException exception) when (exception.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock)
            {
                trouble = $"{length} bytes did not come back, {Tries} times";
            }
            catch (SocketException exception) when (exception.SocketErrorCode == SocketError.MessageSize)
            {
                // The kernel knows that it does not fit: by the device, or by an ICMP error.
                return TooBig;
            }
        }
        return trouble;
    }

    /// <summary>What <see cref="Echo"/> returns where the sender was told that the datagram is too big.</summary>
    public const string TooBig = "too big";

    /// <summary>Sends a datagram that is to be counted.</summary>
    public void Count(int length, int number)
    {
        byte[] datagram = new byte[length];
        Datagram.Write(datagram, Datagram.Counted, Token, number);
        _socket.Send(datagram);
    }

    public void Dispose() => _socket.Dispose();

    private void Set(int option, int value) => _socket.SetRawSocketOption(_isIpv6 ? Ipv6Level : IpLevel, option, BitConverter.GetBytes(value));
}
