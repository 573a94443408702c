using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Devices;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux.Interop;
using Overlay.Wire;

namespace Overlay.Linux.Underlay;

/// <summary>
/// The underlay of IP-in-IP over raw sockets, one an outer family and inner version. The kernel writes the outer header: DF set, the
/// identification of an atomic datagram (RFC 6864), and reassembles what arrives in fragments; its GRO may hand over several inner TCP packets
/// as one with an unfinished checksum. A message carries one packet. Several queues share what arrives by flow. One worker thread uses it.
/// </summary>
public sealed unsafe class RawIpUnderlay : IUnderlay, IDisposable
{
    private const int BufferBytes = 8 << 20;

    /// <summary>Room for the traffic class and the TTL.</summary>
    private const int ControlBytes = 2 * ControlMessage.IntSpace;

    private readonly List<Socket> _sockets = [];

    /// <summary>Over IPv4, for what may be fragmented outside (RFC 2473, 7.1): they only send.</summary>
    private readonly List<Socket> _fragmenting = [];

    /// <summary>The same over IPv6; null where that has no local address.</summary>
    private readonly Ipv6FragmentSender? _fragments;
    private readonly List<string> _refusals = [];
    private readonly SingleDatagramSender _sender = new();
    private readonly SockAddrIn6[] _address = GC.AllocateArray<SockAddrIn6>(1, pinned: true);
    private readonly byte[] _control = GC.AllocateArray<byte>(ControlBytes, pinned: true);
    private readonly byte[] _limit = GC.AllocateArray<byte>(TunnelEncapsulationLimit.HeaderLength, pinned: true);
    private readonly uint _scope;
    private FileDescriptor? _limitSocket;
    private MMsgHdr[] _messages = [];
    private BufferSlice[] _slices = [];
    private SockAddrIn6[] _sources = [];
    private byte[] _controls = [];
    private ReceiveBatch? _prepared;
    private int _firstSocket;

    /// <param name="addresses">Local outer addresses, at most one a family.</param>
    /// <param name="device">Interface to bind to; null for none.</param>
    /// <param name="timeToLive">Outer TTL or hop limit of what brings none.</param>
    /// <param name="queue">Index of the worker's queue.</param>
    /// <param name="queueCount">Queues that share what arrives.</param>
    /// <param name="sendsOnly">Nothing is received: each raw socket would be given every packet.</param>
    /// <exception cref="LinuxException">A socket cannot be had; the text says why.</exception>
    public RawIpUnderlay(
        IReadOnlyList<IPAddress> addresses, string? device, byte timeToLive, int queue, int queueCount, bool sendsOnly = false)
    {
        try
        {
            foreach (IPAddress address in addresses)
            {
                if (address.IsIPv6LinkLocal) _scope = (uint)address.ScopeId;
                foreach (byte protocol in (ReadOnlySpan<byte>)[IpProtocols.Ipv4InIp, IpProtocols.Ipv6InIp])
                {
                    Open(address, protocol, device, timeToLive, queue, queueCount, sendsOnly);
                    if (address.AddressFamily == AddressFamily.InterNetwork) OpenFragmenting(address, protocol, device, timeToLive);
                }
                if (address.AddressFamily != AddressFamily.InterNetworkV6) continue;
                OpenLimit(address, device, timeToLive);
                _fragments = new Ipv6FragmentSender(address, device, timeToLive);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
        ReceiveDescriptors = sendsOnly ? [] : [.. _sockets.Select(socket => socket.Descriptor.Number)];
    }

    private readonly record struct Socket(FileDescriptor Descriptor, bool IsIpv6, byte Protocol);

    /// <summary>For polling.</summary>
    public IReadOnlyList<int> ReceiveDescriptors { get; }

    /// <summary>What the kernel refused, one readable text each.</summary>
    public IReadOnlyList<string> Refusals => _refusals;

    /// <inheritdoc/>
    public void Send(SendBatch batch)
    {
        foreach (ref DatagramTrain train in batch.Trains) train.Outcome = Send(train, batch.Slices(train));
    }

    /// <inheritdoc/>
    public int Receive(ReceiveBatch batch)
    {
        if (!ReferenceEquals(batch, _prepared)) Prepare(batch);
        int count = 0;
        int sockets = ReceiveDescriptors.Count;
        _firstSocket = (_firstSocket + 1) % sockets;
        for (int i = 0; i < sockets && count < batch.Capacity; i++) count += Receive(batch, count, _sockets[(_firstSocket + i) % sockets]);
        return batch.Count = count;
    }

    public void Dispose()
    {
        _sockets.ForEach(socket => socket.Descriptor.Dispose());
        _fragmenting.ForEach(socket => socket.Descriptor.Dispose());
        _fragments?.Dispose();
        _limitSocket?.Dispose();
    }

    private static FileDescriptor Open(bool ipv6, byte protocol) => FileDescriptor.Own(
        Libc.Socket(ipv6 ? Sockets.AF_INET6 : Sockets.AF_INET, Sockets.SOCK_RAW | Sockets.SOCK_NONBLOCK | Sockets.SOCK_CLOEXEC, protocol),
        $"socket IP protocol {protocol}");

    /// <summary>
    /// Sends packets that begin with a destination options header, and receives nothing. The kernel could insert the header, but then takes
    /// packets of full size for too big.
    /// </summary>
    private void OpenLimit(IPAddress address, string? device, byte timeToLive)
    {
        _limitSocket = Open(ipv6: true, IpProtocols.DestinationOptions);
        UdpSocket.DropAll(_limitSocket);
        Configure(_limitSocket, address, IpProtocols.DestinationOptions, device, timeToLive);
    }

    private void OpenFragmenting(IPAddress address, byte protocol, string? device, byte timeToLive)
    {
        FileDescriptor socket = Open(ipv6: false, protocol);
        _fragmenting.Add(new Socket(socket, IsIpv6: false, protocol));
        UdpSocket.DropAll(socket);
        Configure(socket, address, protocol, device, timeToLive);
        UdpSocket.Set(socket, Sockets.IPPROTO_IP, Sockets.IP_MTU_DISCOVER, Sockets.IP_PMTUDISC_DONT, "IP_MTU_DISCOVER");
    }

    private void Open(IPAddress address, byte protocol, string? device, byte timeToLive, int queue, int queueCount, bool sendsOnly)
    {
        bool ipv6 = address.AddressFamily == AddressFamily.InterNetworkV6;
        FileDescriptor socket = Open(ipv6, protocol);
        _sockets.Add(new Socket(socket, ipv6, protocol));
        if (sendsOnly) UdpSocket.DropAll(socket);
        else if (queueCount > 1) FlowFilter.Attach(socket, outerIsIpv4: !ipv6, innerIsIpv4: protocol == IpProtocols.Ipv4InIp, queue, queueCount);
        if (!sendsOnly) Note(UdpSocket.SetBuffer(socket, send: false, BufferBytes));
        Configure(socket, address, protocol, device, timeToLive);
    }

    private void Configure(FileDescriptor socket, IPAddress address, byte protocol, string? device, byte timeToLive)
    {
        bool ipv6 = address.AddressFamily == AddressFamily.InterNetworkV6;
        if (device is not null) UdpSocket.BindToDevice(socket, device);
        if (ipv6)
        {
            UdpSocket.Set(socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_MTU_DISCOVER, Sockets.IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER");
            UdpSocket.Set(socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_UNICAST_HOPS, timeToLive, "IPV6_UNICAST_HOPS");
            UdpSocket.Set(socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_FLOWINFO_SEND, 1, "IPV6_FLOWINFO_SEND");
            UdpSocket.Set(socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS");
        }
        else
        {
            UdpSocket.Set(socket, Sockets.IPPROTO_IP, Sockets.IP_MTU_DISCOVER, Sockets.IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER");
            UdpSocket.Set(socket, Sockets.IPPROTO_IP, Sockets.IP_TTL, timeToLive, "IP_TTL");
        }
        Note(UdpSocket.SetBuffer(socket, send: true, BufferBytes));
        int errno = UdpSocket.Bind(socket, address, 0);
        if (errno != 0) throw new LinuxException($"bind IP protocol {protocol} on {address}", errno);
    }

    private void Note(string? refusal)
    {
        if (refusal is not null && !_refusals.Contains(refusal)) _refusals.Add(refusal);
    }

    private SendOutcome Send(in DatagramTrain train, ReadOnlySpan<BufferSlice> slices)
    {
        UnderlayEndpoint peer = train.Peer.Endpoint;
        foreach (Socket socket in train.MayFragment && peer.IsIPv4 ? _fragmenting : _sockets)
        {
            if (socket.Protocol != train.Protocol || socket.IsIpv6 == peer.IsIPv4) continue;
            var header = new MsgHdr
            {
                msg_name = Marshal.UnsafeAddrOfPinnedArrayElement(_address, 0),
                msg_namelen = WriteDestination(peer, train.SourcePortIndex),
                msg_control = Marshal.UnsafeAddrOfPinnedArrayElement(_control, 0),
            };
            byte* start = (byte*)header.msg_control;
            header.msg_controllen = (nuint)(WriteControl(start, train) - start);
            int size = train.SegmentSize == 0 ? train.Length : train.SegmentSize;
            bool isLimited = socket.IsIpv6 && train.EncapsulationLimit != DatagramTrain.NoLimit;
            if (isLimited) TunnelEncapsulationLimit.Write(_limit, train.Protocol, (byte)train.EncapsulationLimit);
            if (train.MayFragment && socket.IsIpv6)
                return _fragments!.Send(header, isLimited ? IpProtocols.DestinationOptions : train.Protocol, isLimited ? _limit : [], size, slices);
            if (!isLimited) return _sender.Send(socket.Descriptor.Number, header, size, slices);
            return _sender.Send(
                _limitSocket!.Number, header, size, slices, new BufferSlice(Marshal.UnsafeAddrOfPinnedArrayElement(_limit, 0), _limit.Length));
        }
        return SendOutcome.Unreachable;
    }

    private static byte* WriteControl(byte* end, in DatagramTrain train)
    {
        bool ipv4 = train.Peer.Endpoint.IsIPv4;
        if (train.TrafficClass != 0)
        {
            end = ipv4
                ? ControlMessage.WriteInt(end, Sockets.IPPROTO_IP, Sockets.IP_TOS, train.TrafficClass)
                : ControlMessage.WriteInt(end, Sockets.IPPROTO_IPV6, Sockets.IPV6_TCLASS, train.TrafficClass);
        }
        if (train.TimeToLive != 0)
        {
            end = ipv4
                ? ControlMessage.WriteInt(end, Sockets.IPPROTO_IP, Sockets.IP_TTL, train.TimeToLive)
                : ControlMessage.WriteInt(end, Sockets.IPPROTO_IPV6, Sockets.IPV6_HOPLIMIT, train.TimeToLive);
        }
        return end;
    }

    private uint WriteDestination(UnderlayEndpoint peer, ushort flow)
    {
        ref SockAddrIn6 address = ref _address[0];
        address = default;
        if (peer.IsIPv4)
        {
            ref SockAddrIn ipv4 = ref Unsafe.As<SockAddrIn6, SockAddrIn>(ref address);
            ipv4.sin_family = Sockets.AF_INET;
            ipv4.sin_addr = UdpSocket.Network((uint)peer.Address);
            return (uint)sizeof(SockAddrIn);
        }
        address.sin6_family = Sockets.AF_INET6;
        address.sin6_flowinfo = UdpSocket.Network(OuterFlowLabel.OfIpInIp(flow));
        address.sin6_addr = UdpSocket.Network(peer.Address);
        address.sin6_scope_id = peer.Address >> 118 == 0xfe80 >> 6 ? _scope : 0;
        return (uint)sizeof(SockAddrIn6);
    }

    private int Receive(ReceiveBatch batch, int first, Socket socket)
    {
        int received;
        fixed (MMsgHdr* messages = _messages)
        {
            received = Libc.ReceiveMessages(
                socket.Descriptor.Number, messages + first, (uint)(batch.Capacity - first), Sockets.MSG_DONTWAIT, null);
        }
        if (received < 0)
        {
            int errno = Marshal.GetLastSystemError();
            return errno is Errno.EAGAIN or Errno.EINTR ? 0 : throw new LinuxException("recvmmsg", errno);
        }
        for (int i = first; i < first + received; i++) Take(batch, i, socket);
        return received;
    }

    /// <summary>An IPv4 raw socket delivers the outer header, an IPv6 one what follows it and its extension headers.</summary>
    private void Take(ReceiveBatch batch, int slot, Socket socket)
    {
        ref MMsgHdr message = ref _messages[slot];
        ref ReceivedTrain train = ref batch.Slots[slot];
        int offset = ReceiveBatch.SlotOffset(slot);
        int length = (int)message.msg_len;
        train.Encapsulation = Encapsulation.IpInIp;
        train.Protocol = socket.Protocol;
        if (socket.IsIpv6)
        {
            var control = (byte*)message.msg_hdr.msg_control;
            bool has = message.msg_hdr.msg_controllen >= (nuint)(sizeof(CMsgHdr) + sizeof(int));
            train.TrafficClass = has ? (byte)*(int*)(control + sizeof(CMsgHdr)) : (byte)0;
            train.Source = new UnderlayEndpoint(UdpSocket.Network(_sources[slot].sin6_addr), 0);
        }
        else
        {
            ReadOnlySpan<byte> outer = batch.Memory.Span(offset, Ipv4Packet.MinHeaderLength);
            int header = (outer[0] & 0xf) * 4;
            train.TrafficClass = outer[1];
            train.Source = new UnderlayEndpoint(
                IpBits.Mapped(UdpSocket.Network(Unsafe.As<SockAddrIn6, SockAddrIn>(ref _sources[slot]).sin_addr)), 0);
            offset += header;
            length -= header;
        }
        train.Offset = offset;
        train.Length = train.SegmentSize = length;
        message.msg_hdr.msg_controllen = ControlMessage.IntSpace;
        message.msg_hdr.msg_namelen = (uint)sizeof(SockAddrIn6);
    }

    private void Prepare(ReceiveBatch batch)
    {
        int capacity = batch.Capacity;
        _messages = GC.AllocateArray<MMsgHdr>(capacity, pinned: true);
        _slices = GC.AllocateArray<BufferSlice>(capacity, pinned: true);
        _sources = GC.AllocateArray<SockAddrIn6>(capacity, pinned: true);
        _controls = GC.AllocateArray<byte>(capacity * ControlMessage.IntSpace, pinned: true);
        for (int i = 0; i < capacity; i++)
        {
            _slices[i] = batch.Memory.Slice(ReceiveBatch.SlotOffset(i), ReceiveBatch.SlotLength);
            _messages[i].msg_hdr = new MsgHdr
            {
                msg_name = Marshal.UnsafeAddrOfPinnedArrayElement(_sources, i),
                msg_namelen = (uint)sizeof(SockAddrIn6),
                msg_iov = Marshal.UnsafeAddrOfPinnedArrayElement(_slices, i),
                msg_iovlen = 1,
                msg_control = Marshal.UnsafeAddrOfPinnedArrayElement(_controls, i * ControlMessage.IntSpace),
                msg_controllen = ControlMessage.IntSpace,
            };
        }
        _prepared = batch;
    }
}
