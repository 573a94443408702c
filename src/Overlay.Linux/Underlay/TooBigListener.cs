using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Overlay.Linux.Interop;
using Overlay.Wire;

namespace Overlay.Linux.Underlay;

/// <summary>
/// Receives the ICMP errors that arrive for this node and may tell of a packet that was too big, over raw sockets (raw(7)): the kernel tells
/// them to sockets only when they trust its path MTU cache, which tunnels do not. One thread reads.
/// </summary>
public sealed unsafe class TooBigListener : IDisposable
{
    /// <summary>More than an error has (RFC 4443, 2.4 c); what is longer is cut off behind the quoted headers.</summary>
    private const int BufferBytes = 2048;

    private readonly List<(FileDescriptor Descriptor, bool IsIpv6)> _sockets = [];
    private readonly byte[] _buffer = GC.AllocateArray<byte>(BufferBytes, pinned: true);
    private int _next;

    /// <param name="addresses">Local outer addresses, whose families are listened for.</param>
    /// <param name="device">Interface to bind to; null for none.</param>
    public TooBigListener(IEnumerable<IPAddress> addresses, string? device)
    {
        try
        {
            foreach (bool ipv6 in addresses.Select(address => address.AddressFamily == AddressFamily.InterNetworkV6).Distinct()) Open(ipv6, device);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>For polling.</summary>
    public IEnumerable<int> Descriptors => _sockets.Select(socket => socket.Descriptor.Number);

    /// <summary>Takes one message, from each socket in turn.</summary>
    /// <param name="message">The ICMP message, valid until the next call.</param>
    /// <param name="isIpv6">ICMPv6.</param>
    /// <returns>False when there is none.</returns>
    public bool TryReceive(out ReadOnlySpan<byte> message, out bool isIpv6)
    {
        for (int i = 0; i < _sockets.Count; i++)
        {
            (FileDescriptor descriptor, isIpv6) = _sockets[_next];
            _next = (_next + 1) % _sockets.Count;
            nint length;
            fixed (byte* buffer = _buffer) length = Libc.Receive(descriptor.Number, buffer, BufferBytes, Sockets.MSG_DONTWAIT);
            if (length < 0)
            {
                int errno = Marshal.GetLastSystemError();
                if (errno is Errno.EAGAIN or Errno.EINTR) continue;
                throw new LinuxException("recv ICMP", errno);
            }
            message = _buffer.AsSpan(0, (int)length);
            // An IPv4 raw socket delivers the IP header too.
            if (!isIpv6) message = Ipv4Packet.TryParseHeader(message, out Ipv4Packet ip) == WireStatus.Ok ? message[ip.HeaderLength..] : default;
            return true;
        }
        message = default;
        isIpv6 = false;
        return false;
    }

    public void Dispose() => _sockets.ForEach(socket => socket.Descriptor.Dispose());

    private void Open(bool ipv6, string? device)
    {
        FileDescriptor socket = FileDescriptor.Own(
            Libc.Socket(
                ipv6 ? Sockets.AF_INET6 : Sockets.AF_INET, Sockets.SOCK_RAW | Sockets.SOCK_NONBLOCK | Sockets.SOCK_CLOEXEC,
                ipv6 ? IpProtocols.Icmpv6 : IpProtocols.Icmpv4),
            "socket ICMP");
        _sockets.Add((socket, ipv6));
        // A set bit blocks a type.
        Span<uint> blocked = stackalloc uint[8];
        blocked.Fill(uint.MaxValue);
        byte type = ipv6 ? Icmpv6Types.PacketTooBig : Icmpv4Types.DestinationUnreachable;
        blocked[0] = ~(1u << type);
        fixed (uint* filter = blocked)
        {
            int result = ipv6
                ? Libc.SetSocketOption(socket.Number, Sockets.IPPROTO_ICMPV6, Sockets.ICMPV6_FILTER, filter, sizeof(uint) * 8)
                : Libc.SetSocketOption(socket.Number, Sockets.SOL_RAW, Sockets.ICMP_FILTER, filter, sizeof(uint));
            if (result < 0) throw LinuxException.Last(ipv6 ? "setsockopt ICMPV6_FILTER" : "setsockopt ICMP_FILTER");
        }
        if (device is not null) UdpSocket.BindToDevice(socket, device);
    }
}
