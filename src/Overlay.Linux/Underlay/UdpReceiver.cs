using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux.Interop;
using Overlay.Wire;

namespace Overlay.Linux.Underlay;

/// <summary>Receives on the tunnels' ports, one socket a family and port. The kernel may merge datagrams of one sender that arrive together (UDP_GRO).</summary>
internal sealed unsafe class UdpReceiver : IDisposable
{
    private const int BufferBytes = 8 << 20;

    /// <summary>Room for the two control messages that are asked for, each of an int.</summary>
    private const int ControlBytes = 2 * ControlMessage.IntSpace;

    private readonly FileDescriptor[] _sockets;
    private readonly int[] _descriptors;

    /// <summary>Of each socket.</summary>
    private readonly Encapsulation[] _encapsulations;
    private MMsgHdr[] _messages = [];
    private BufferSlice[] _slices = [];
    private SockAddrIn6[] _sources = [];
    private byte[] _control = [];
    private ReceiveBatch? _prepared;
    private int _firstSocket;

    public UdpReceiver(UdpUnderlayOptions options, IEnumerable<IPAddress> addresses, List<string> refusals)
    {
        var sockets = new List<FileDescriptor>();
        try
        {
            foreach (IPAddress address in addresses)
            {
                foreach (TunnelPort port in options.Ports) Open(sockets, options, address, port.Port, refusals);
            }
        }
        catch
        {
            sockets.ForEach(socket => socket.Dispose());
            throw;
        }
        _sockets = [.. sockets];
        _descriptors = [.. sockets.Select(socket => socket.Number)];
        _encapsulations = [.. addresses.SelectMany(_ => options.Ports.Select(port => port.Encapsulation))];
    }

    public IReadOnlyList<int> Descriptors => _descriptors;

    /// <inheritdoc cref="Dataplane.Devices.IUnderlay.Receive"/>
    public int Receive(ReceiveBatch batch)
    {
        if (!ReferenceEquals(batch, _prepared)) Prepare(batch);
        batch.Count = 0;

        // Each socket is first in turn, so that none starves the others.
        _firstSocket = _firstSocket + 1 == _sockets.Length ? 0 : _firstSocket + 1;
        int count = 0;
        for (int i = 0; i < _descriptors.Length && count < batch.Capacity; i++)
        {
            int socket = (_firstSocket + i) % _descriptors.Length;
            count += Receive(batch, count, _descriptors[socket], _encapsulations[socket]);
        }
        return batch.Count = count;
    }

    public void Dispose()
    {
        foreach (FileDescriptor socket in _sockets) socket.Dispose();
    }

    private static void Open(List<FileDescriptor> sockets, UdpUnderlayOptions options, IPAddress address, ushort port, List<string> refusals)
    {
        bool ipv6 = address.AddressFamily == AddressFamily.InterNetworkV6;
        FileDescriptor socket = UdpSocket.Open(ipv6);
        sockets.Add(socket);
        if (options.Interface is { } name) UdpSocket.BindToDevice(socket, name);
        if (options.QueueCount > 1) UdpSocket.Set(socket, Sockets.SOL_SOCKET, Sockets.SO_REUSEPORT, 1, "SO_REUSEPORT");
        if (ipv6) UdpSocket.Set(socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS");
        else UdpSocket.Set(socket, Sockets.IPPROTO_IP, Sockets.IP_RECVTOS, 1, "IP_RECVTOS");
        if (ipv6 && options.ZeroChecksums.HasFlag(ZeroChecksums.ReceiveIpv6))
            UdpSocket.Set(socket, Sockets.SOL_UDP, Sockets.UDP_NO_CHECK6_RX, 1, "UDP_NO_CHECK6_RX");
        if (options.ReceivesTrains && !UdpSocket.TrySet(socket, Sockets.SOL_UDP, Sockets.UDP_GRO, 1))
            refusals.Add($"UDP_GRO is refused ({LinuxException.Describe(Marshal.GetLastSystemError())}): datagrams arrive one at a time");
        if (UdpSocket.SetBuffer(socket, send: false, BufferBytes) is { } refusal && !refusals.Contains(refusal)) refusals.Add(refusal);
        int errno = UdpSocket.Bind(socket, address, port);
        if (errno != 0) throw new LinuxException($"bind UDP {new IPEndPoint(address, port)}", errno, Remedy(errno, port));
    }

    private static string Remedy(int errno, ushort port) => errno switch
    {
        Errno.EADDRINUSE => $"another program or a kernel tunnel device uses port {port}; stop it or choose another port",
        _ => "",
    };

    private int Receive(ReceiveBatch batch, int first, int descriptor, Encapsulation encapsulation)
    {
        int received;
        fixed (MMsgHdr* messages = _messages)
        {
            received = Libc.ReceiveMessages(descriptor, messages + first, (uint)(batch.Capacity - first), Sockets.MSG_DONTWAIT, null);
        }
        if (received < 0)
        {
            int errno = Marshal.GetLastSystemError();
            return errno is Errno.EAGAIN or Errno.EINTR ? 0 : throw new LinuxException("recvmmsg", errno);
        }
        for (int i = first; i < first + received; i++) Take(batch, i, encapsulation);
        return received;
    }

    private void Take(ReceiveBatch batch, int slot, Encapsulation encapsulation)
    {
        ref MMsgHdr message = ref _messages[slot];
        ref ReceivedTrain train = ref batch.Slots[slot];
        train.Offset = ReceiveBatch.SlotOffset(slot);
        train.Length = (int)message.msg_len;
        train.SegmentSize = (int)message.msg_len;
        train.TrafficClass = 0;
        train.Encapsulation = encapsulation;
        train.Source = Source(ref _sources[slot]);

        byte* control = (byte*)message.msg_hdr.msg_control;
        byte* end = control + message.msg_hdr.msg_controllen;
        while (end - control >= sizeof(CMsgHdr))
        {
            var header = (CMsgHdr*)control;
            byte* data = control + sizeof(CMsgHdr);
            if (header->cmsg_level == Sockets.SOL_UDP && header->cmsg_type == Sockets.UDP_GRO) train.SegmentSize = *(int*)data;
            else if (header->cmsg_level == Sockets.IPPROTO_IP && header->cmsg_type == Sockets.IP_TOS) train.TrafficClass = *data;
            else if (header->cmsg_level == Sockets.IPPROTO_IPV6 && header->cmsg_type == Sockets.IPV6_TCLASS) train.TrafficClass = (byte)*(int*)data;
            control += ControlMessage.Align((int)header->cmsg_len);
        }
        message.msg_hdr.msg_controllen = ControlBytes;
        message.msg_hdr.msg_namelen = (uint)sizeof(SockAddrIn6);
    }

    private static UnderlayEndpoint Source(ref SockAddrIn6 address)
    {
        ushort port = UdpSocket.Network(address.sin6_port);
        return address.sin6_family == Sockets.AF_INET6
            ? new UnderlayEndpoint(UdpSocket.Network(address.sin6_addr), port)
            : new UnderlayEndpoint(IpBits.Mapped(UdpSocket.Network(Unsafe.As<SockAddrIn6, SockAddrIn>(ref address).sin_addr)), port);
    }

    /// <summary>Points the message headers at the batch's slots; once for the one batch a worker has.</summary>
    private void Prepare(ReceiveBatch batch)
    {
        int capacity = batch.Capacity;
        _messages = GC.AllocateArray<MMsgHdr>(capacity, pinned: true);
        _slices = GC.AllocateArray<BufferSlice>(capacity, pinned: true);
        _sources = GC.AllocateArray<SockAddrIn6>(capacity, pinned: true);
        _control = GC.AllocateArray<byte>(capacity * ControlBytes, pinned: true);
        for (int i = 0; i < capacity; i++)
        {
            _slices[i] = batch.Memory.Slice(ReceiveBatch.SlotOffset(i), ReceiveBatch.SlotLength);
            _messages[i].msg_hdr = new MsgHdr
            {
                msg_name = Marshal.UnsafeAddrOfPinnedArrayElement(_sources, i),
                msg_namelen = (uint)sizeof(SockAddrIn6),
                msg_iov = Marshal.UnsafeAddrOfPinnedArrayElement(_slices, i),
                msg_iovlen = 1,
                msg_control = Marshal.UnsafeAddrOfPinnedArrayElement(_control, i * ControlBytes),
                msg_controllen = ControlBytes,
            };
        }
        _prepared = batch;
    }
}
