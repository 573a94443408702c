using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Overlay.Linux.Interop;
using static Overlay.Linux.Interop.NetlinkConstants;

namespace Overlay.Linux.Netlink;

/// <summary>
/// Tells of changes of links, addresses and routes in the network namespace of the thread that made it, as they happen (rtnetlink(7)). One
/// thread reads; any may end its wait.
/// </summary>
public sealed unsafe class NetlinkMonitor : IDisposable
{
    private const int ReceiveBytes = 1 << 16;

    /// <summary>Room for some ten thousand events while the reader is busy.</summary>
    private const int SocketBufferBytes = 8 << 20;

    private const uint Groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;

    private readonly FileDescriptor _socket;
    private readonly Poller _poller;
    private readonly byte[] _received = GC.AllocateArray<byte>(ReceiveBytes, pinned: true);

    /// <param name="ownRoutes">
    /// Whose changes of routes are not told of, because the reader makes them itself: the kernel drops them before they take room.
    /// </param>
    public NetlinkMonitor(Rtnetlink? ownRoutes = null)
    {
        _socket = NetlinkSocket.Open(Groups);
        try
        {
            EnlargeBuffer();
            if (ownRoutes is not null) Ignore(ownRoutes.PortId);
            _poller = new Poller(_socket.Number);
        }
        catch
        {
            _socket.Dispose();
            throw;
        }
    }

    /// <summary>Waits for events and adds all that are there.</summary>
    /// <param name="events">Where they go, in the order in which things happened.</param>
    /// <param name="timeoutMilliseconds">Not negative.</param>
    /// <returns>False when time was up or <see cref="Wake"/> was called, and nothing had happened.</returns>
    public bool Wait(List<NetlinkEvent> events, int timeoutMilliseconds)
    {
        int before = events.Count;
        Read(events);
        if (events.Count > before) return true;
        _poller.Wait(timeoutMilliseconds);
        Read(events);
        return events.Count > before;
    }

    /// <summary>Ends the current or the next <see cref="Wait"/>.</summary>
    public void Wake() => _poller.Wake();

    public void Dispose()
    {
        _poller.Dispose();
        _socket.Dispose();
    }

    private void Read(List<NetlinkEvent> events)
    {
        while (true)
        {
            nint length;
            fixed (byte* buffer = _received) length = Libc.Receive(_socket.Number, buffer, ReceiveBytes, 0);
            if (length >= 0)
            {
                Parse(_received.AsSpan(0, (int)length), events);
                continue;
            }
            int errno = Marshal.GetLastSystemError();
            if (errno == Errno.EAGAIN) return;
            if (errno == Errno.ENOBUFS) events.Add(new EventsLost());
            else if (errno != Errno.EINTR) throw new LinuxException("recv netlink events", errno);
        }
    }

    private static void Parse(ReadOnlySpan<byte> rest, List<NetlinkEvent> events)
    {
        while (rest.Length >= sizeof(NlMsgHdr))
        {
            NlMsgHdr header = MemoryMarshal.Read<NlMsgHdr>(rest);
            if (header.nlmsg_len < sizeof(NlMsgHdr) || header.nlmsg_len > rest.Length) return;
            ReadOnlySpan<byte> body = rest[sizeof(NlMsgHdr)..(int)header.nlmsg_len];
            rest = rest[Math.Min(NetlinkRequest.Align((int)header.nlmsg_len), rest.Length)..];
            if (Event(header.nlmsg_type, body) is { } next) events.Add(next);
        }
    }

    private static NetlinkEvent? Event(ushort type, ReadOnlySpan<byte> body) => type switch
    {
        RTM_NEWLINK or RTM_DELLINK when Rtnetlink.ParseLinkEvent(body) is { } link => new LinkEvent(link, type == RTM_DELLINK),
        RTM_NEWADDR or RTM_DELADDR when Rtnetlink.ParseAddress(body, null) is { } address => new AddressEvent(address, type == RTM_DELADDR),
        RTM_NEWROUTE or RTM_DELROUTE when Rtnetlink.ParseRoute(body) is { } route => new RouteEvent(route, type == RTM_DELROUTE),
        _ => null,
    };

    private void EnlargeBuffer()
    {
        // Whatever the system's limit, where CAP_NET_ADMIN is there; else the limit: what does not fit is told of as lost.
        int bytes = SocketBufferBytes;
        if (Libc.SetSocketOption(_socket.Number, Sockets.SOL_SOCKET, Sockets.SO_RCVBUFFORCE, &bytes, sizeof(int)) >= 0) return;
        if (Libc.SetSocketOption(_socket.Number, Sockets.SOL_SOCKET, Sockets.SO_RCVBUF, &bytes, sizeof(int)) < 0)
            throw LinuxException.Last("setsockopt SO_RCVBUF of netlink events");
    }

    /// <summary>A filter of the message header: routes whose change was requested from this port are dropped.</summary>
    private void Ignore(uint portId)
    {
        const int typeOffset = 4;
        const int portOffset = 12;
        const int everything = int.MaxValue;

        // The filter reads in network byte order what the kernel wrote in its own.
        Span<SockFilter> program =
        [
            new() { code = Sockets.BPF_LD | Sockets.BPF_H | Sockets.BPF_ABS, k = typeOffset },
            new() { code = Sockets.BPF_JMP | Sockets.BPF_JEQ | Sockets.BPF_K, k = InNetworkOrder(RTM_NEWROUTE), jt = 1 },
            new() { code = Sockets.BPF_JMP | Sockets.BPF_JEQ | Sockets.BPF_K, k = InNetworkOrder(RTM_DELROUTE), jf = 2 },
            new() { code = Sockets.BPF_LD | Sockets.BPF_W | Sockets.BPF_ABS, k = portOffset },
            new() { code = Sockets.BPF_JMP | Sockets.BPF_JEQ | Sockets.BPF_K, k = InNetworkOrder(portId), jt = 1 },
            new() { code = Sockets.BPF_RET | Sockets.BPF_K, k = everything },
            new() { code = Sockets.BPF_RET | Sockets.BPF_K, k = 0 },
        ];
        fixed (SockFilter* first = program)
        {
            var filter = new SockFProg { len = (ushort)program.Length, filter = (nint)first };
            if (Libc.SetSocketOption(_socket.Number, Sockets.SOL_SOCKET, Sockets.SO_ATTACH_FILTER, &filter, (uint)sizeof(SockFProg)) < 0)
                throw LinuxException.Last("setsockopt SO_ATTACH_FILTER of netlink events");
        }
    }

    private static uint InNetworkOrder(ushort value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;

    private static uint InNetworkOrder(uint value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;
}
