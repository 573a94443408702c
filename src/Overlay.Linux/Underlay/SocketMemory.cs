using Overlay.Linux.Interop;

namespace Overlay.Linux.Underlay;

/// <summary>How full a socket's receive buffer is (SO_MEMINFO).</summary>
/// <param name="Used">Bytes, with what the kernel adds for each datagram.</param>
/// <param name="Limit">Bytes.</param>
/// <param name="Overruns">Datagrams that found the buffer full or had a wrong checksum, since the socket was made; counts anew after 2^32.</param>
public readonly record struct SocketMemory(long Used, long Limit, long Overruns)
{
    private const int Fields = 9;
    private const int ReceiveUsed = 0;
    private const int ReceiveLimit = 1;
    private const int Drops = 8;

    /// <summary>Of a socket that stays open meanwhile.</summary>
    /// <exception cref="LinuxException">It is no socket.</exception>
    public static unsafe SocketMemory Of(int descriptor)
    {
        uint* fields = stackalloc uint[Fields];
        uint length = Fields * sizeof(uint);
        if (Libc.GetSocketOption(descriptor, Sockets.SOL_SOCKET, Sockets.SO_MEMINFO, fields, &length) < 0) throw LinuxException.Last("getsockopt SO_MEMINFO");
        return new SocketMemory(fields[ReceiveUsed], fields[ReceiveLimit], fields[Drops]);
    }
}
