using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Overlay.Linux.Interop;
using Overlay.Wire;

namespace Overlay.Linux.Underlay;

/// <summary>Makes UDP sockets and sets their options; every failure names the option.</summary>
internal static unsafe class UdpSocket
{
    public static FileDescriptor Open(bool ipv6)
    {
        int family = ipv6 ? Sockets.AF_INET6 : Sockets.AF_INET;
        FileDescriptor socket = FileDescriptor.Own(
            Libc.Socket(family, Sockets.SOCK_DGRAM | Sockets.SOCK_NONBLOCK | Sockets.SOCK_CLOEXEC, 0), "socket UDP");
        if (ipv6) Set(socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_V6ONLY, 1, "IPV6_V6ONLY");
        return socket;
    }

    public static void Set(FileDescriptor socket, int level, int option, int value, string name)
    {
        if (!TrySet(socket, level, option, value)) throw LinuxException.Last($"setsockopt {name} {value}");
    }

    public static bool TrySet(FileDescriptor socket, int level, int option, int value) =>
        Libc.SetSocketOption(socket.Number, level, option, &value, sizeof(int)) >= 0;

    public static void BindToDevice(FileDescriptor socket, string name)
    {
        Span<byte> bytes = stackalloc byte[Tun.IFNAMSIZ * 4];
        int length = Encoding.UTF8.GetBytes(name, bytes);
        fixed (byte* pointer = bytes)
        {
            if (Libc.SetSocketOption(socket.Number, Sockets.SOL_SOCKET, Sockets.SO_BINDTODEVICE, pointer, (uint)length) < 0)
                throw LinuxException.Last($"setsockopt SO_BINDTODEVICE {name}");
        }
    }

    /// <summary>A buffer of this size whatever the system's limit, or the limit where CAP_NET_ADMIN is missing, with a text that says so.</summary>
    public static string? SetBuffer(FileDescriptor socket, bool send, int bytes)
    {
        (int force, int plain, string name) = send
            ? (Sockets.SO_SNDBUFFORCE, Sockets.SO_SNDBUF, "SO_SNDBUF")
            : (Sockets.SO_RCVBUFFORCE, Sockets.SO_RCVBUF, "SO_RCVBUF");
        if (TrySet(socket, Sockets.SOL_SOCKET, force, bytes)) return null;
        int errno = Marshal.GetLastSystemError();
        Set(socket, Sockets.SOL_SOCKET, plain, bytes, name);
        return $"{name} is bounded by the system's limit, not {bytes} bytes ({LinuxException.Describe(errno)})";
    }

    /// <summary>Drops all that arrives: nothing may queue on a socket that is never read.</summary>
    public static void DropAll(FileDescriptor socket)
    {
        var instruction = new SockFilter { code = Sockets.BPF_RET | Sockets.BPF_K };
        var program = new SockFProg { len = 1, filter = (nint)(&instruction) };
        if (Libc.SetSocketOption(socket.Number, Sockets.SOL_SOCKET, Sockets.SO_ATTACH_FILTER, &program, (uint)sizeof(SockFProg)) < 0)
            throw LinuxException.Last("setsockopt SO_ATTACH_FILTER");
        Set(socket, Sockets.SOL_SOCKET, Sockets.SO_RCVBUF, 0, "SO_RCVBUF");
    }

    /// <summary>0, or the error number.</summary>
    public static int Bind(FileDescriptor socket, IPAddress address, ushort port)
    {
        int result;
        if (address.AddressFamily == AddressFamily.InterNetwork)
        {
            var bound = new SockAddrIn { sin_family = Sockets.AF_INET, sin_port = Network(port), sin_addr = Network(IpBits.V4(address)) };
            result = Libc.Bind(socket.Number, &bound, (uint)sizeof(SockAddrIn));
        }
        else
        {
            var bound = new SockAddrIn6
            {
                sin6_family = Sockets.AF_INET6,
                sin6_port = Network(port),
                sin6_addr = Network(IpBits.V6OrMapped(address)),
                sin6_scope_id = address.IsIPv6LinkLocal ? (uint)address.ScopeId : 0,
            };
            result = Libc.Bind(socket.Number, &bound, (uint)sizeof(SockAddrIn6));
        }
        return result >= 0 ? 0 : Marshal.GetLastSystemError();
    }

    public static ushort Network(ushort value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;

    public static uint Network(uint value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;

    public static UInt128 Network(UInt128 value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;
}
