using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Underlay;

/// <summary>
/// Sends trains. Those of one source port leave by one sendmmsg and in order; between source ports there is no order. Kernels and
/// devices that refuse UDP_SEGMENT get one datagram a message from then on.
/// </summary>
internal sealed unsafe class UdpSender : IDisposable
{
    /// <summary>Messages that are grouped by source port at a time.</summary>
    private const int Window = 128;

    /// <summary>Room for the segment size, the traffic class and the TTL.</summary>
    private const int ControlBytes = 3 * ControlMessage.IntSpace;

    private readonly SourceSockets _sources;
    private readonly uint _scope;
    private readonly TunnelInjector? _injector;
    private readonly ZeroChecksums _zeroChecksums;
    private readonly SingleDatagramSender _singles = new();
    private readonly UdpUnderlayOptions _options;
    private Ipv6FragmentSender? _fragments;

    private readonly MMsgHdr[] _messages = GC.AllocateArray<MMsgHdr>(Window, pinned: true);
    private readonly SockAddrIn6[] _destinations = GC.AllocateArray<SockAddrIn6>(Window, pinned: true);
    private readonly byte[] _control = GC.AllocateArray<byte>(Window * ControlBytes, pinned: true);

    /// <summary>Train of each message.</summary>
    private readonly int[] _trainOf = new int[Window];

    /// <summary>Whether a train of the window is taken care of.</summary>
    private readonly bool[] _done = new bool[Window];

    public UdpSender(SourceSockets sources, uint scope, UdpUnderlayOptions options)
    {
        _sources = sources;
        _scope = scope;
        _injector = options.Injector;
        _zeroChecksums = options.ZeroChecksums;
        if (!options.SendsTrains) SegmentationRefusal = "UDP_SEGMENT is switched off: datagrams leave one at a time";
        _options = options;
        for (int i = 0; i < Window; i++)
        {
            _messages[i].msg_hdr.msg_name = Marshal.UnsafeAddrOfPinnedArrayElement(_destinations, i);
            _messages[i].msg_hdr.msg_control = Marshal.UnsafeAddrOfPinnedArrayElement(_control, i * ControlBytes);
        }
    }

    /// <summary>Why trains are no longer segmented by the kernel; null while they are.</summary>
    public string? SegmentationRefusal { get; private set; }

    /// <inheritdoc cref="Dataplane.Devices.IUnderlay.Send"/>
    public void Send(SendBatch batch)
    {
        for (int first = 0; first < batch.Count; first += Window) SendWindow(batch, first, Math.Min(Window, batch.Count - first));
    }

    private void SendWindow(SendBatch batch, int first, int count)
    {
        Span<DatagramTrain> trains = batch.Trains.Slice(first, count);
        Array.Clear(_done, 0, count);
        for (int i = 0; i < count; i++)
        {
            if (_done[i]) continue;
            ref DatagramTrain leader = ref trains[i];
            if (leader.Kind == TrainKind.TunnelSuperPacket)
            {
                leader.Outcome = _injector is null ? SendOutcome.Refused : _injector.Send(batch.Slices(leader));
                continue;
            }
            bool ipv6 = !leader.Peer.Endpoint.IsIPv4;
            if (leader.MayFragment)
            {
                leader.Outcome = SendFragmentable(i, batch, ref leader, ipv6);
                continue;
            }
            int descriptor = _sources.Descriptor(leader.SourcePortIndex, ipv6);
            int messages = 0;
            for (int j = i; j < count; j++)
            {
                ref DatagramTrain train = ref trains[j];
                if (_done[j] || train.SourcePortIndex != leader.SourcePortIndex || train.Peer.Endpoint.IsIPv4 == ipv6) continue;
                // What follows a super-packet of the flow, or what leaves by another socket, must not overtake it.
                if (train.Kind != TrainKind.Datagrams || train.MayFragment) break;
                _done[j] = true;
                if (descriptor < 0) train.Outcome = SendOutcome.Unreachable;
                else Prepare(messages++, j, batch, ref train);
            }
            if (messages > 0) SendMessages(batch, trains, descriptor, messages);
        }
    }

    /// <summary>
    /// One datagram at a time: the kernel cuts no train into datagrams that are fragmented. IPv4 leaves without DF, for routers to fragment;
    /// IPv6 leaves in fragments.
    /// </summary>
    private SendOutcome SendFragmentable(int index, SendBatch batch, ref DatagramTrain train, bool ipv6)
    {
        int descriptor = ipv6 ? _sources.Descriptor(train.SourcePortIndex, ipv6) : _sources.FragmentingDescriptor(train.SourcePortIndex);
        if (descriptor < 0) return SendOutcome.Unreachable;
        Prepare(0, index, batch, ref train);
        MsgHdr header = _messages[0].msg_hdr;
        if (train.SegmentSize != 0) header.msg_controllen -= ControlMessage.IntSpace;
        int size = train.SegmentSize == 0 ? train.Length : train.SegmentSize;
        if (!ipv6) return _singles.Send(descriptor, header, size, batch.Slices(train));
        _fragments ??= new Ipv6FragmentSender(
            _options.Addresses.First(address => address.AddressFamily == AddressFamily.InterNetworkV6), _options.Interface, _options.TimeToLive);
        return _fragments.SendUdp(header, _sources.Ports[train.SourcePortIndex], size, batch.Slices(train));
    }

    public void Dispose() => _fragments?.Dispose();

    private void Prepare(int message, int index, SendBatch batch, ref DatagramTrain train)
    {
        _trainOf[message] = index;
        ref MsgHdr header = ref _messages[message].msg_hdr;
        header.msg_namelen = Destination(train, ref _destinations[message]);
        fixed (BufferSlice* slices = batch.Slices(train)) header.msg_iov = (nint)slices;
        header.msg_iovlen = (nuint)train.SliceCount;

        byte* control = (byte*)header.msg_control;
        byte* end = control;
        if (train.TrafficClass != 0)
        {
            end = train.Peer.Endpoint.IsIPv4
                ? ControlMessage.WriteInt(end, Sockets.IPPROTO_IP, Sockets.IP_TOS, train.TrafficClass)
                : ControlMessage.WriteInt(end, Sockets.IPPROTO_IPV6, Sockets.IPV6_TCLASS, train.TrafficClass);
        }
        if (train.TimeToLive != 0)
        {
            end = train.Peer.Endpoint.IsIPv4
                ? ControlMessage.WriteInt(end, Sockets.IPPROTO_IP, Sockets.IP_TTL, train.TimeToLive)
                : ControlMessage.WriteInt(end, Sockets.IPPROTO_IPV6, Sockets.IPV6_HOPLIMIT, train.TimeToLive);
        }
        // Last, so that it can be left away.
        if (train.SegmentSize != 0) end = ControlMessage.WriteUInt16(end, Sockets.SOL_UDP, Sockets.UDP_SEGMENT, train.SegmentSize);
        header.msg_controllen = (nuint)(end - control);
    }

    private uint Destination(in DatagramTrain train, ref SockAddrIn6 address)
    {
        UnderlayEndpoint endpoint = train.Peer.Endpoint;
        if (endpoint.IsIPv4)
        {
            ref SockAddrIn ipv4 = ref Unsafe.As<SockAddrIn6, SockAddrIn>(ref address);
            ipv4.sin_family = Sockets.AF_INET;
            ipv4.sin_port = UdpSocket.Network(endpoint.Port);
            ipv4.sin_addr = UdpSocket.Network((uint)endpoint.Address);
            return (uint)sizeof(SockAddrIn);
        }
        address.sin6_family = Sockets.AF_INET6;
        address.sin6_port = UdpSocket.Network(endpoint.Port);
        // RFC 6438, 3: from the inner flow, as the source port is.
        address.sin6_flowinfo = UdpSocket.Network((uint)_sources.Ports[train.SourcePortIndex]);
        address.sin6_addr = UdpSocket.Network(endpoint.Address);
        address.sin6_scope_id = endpoint.Address >> 118 == 0xfe80 >> 6 ? _scope : 0;
        return (uint)sizeof(SockAddrIn6);
    }

    private void SendMessages(SendBatch batch, Span<DatagramTrain> trains, int descriptor, int count)
    {
        int sent = 0;
        while (sent < count)
        {
            ref DatagramTrain head = ref trains[_trainOf[sent]];
            int run = RunLength(trains, sent, count, MustSendSingly(head.Peer.Endpoint));
            if (run == 0)
            {
                head.Outcome = SendSingly(descriptor, sent++, head, batch);
                continue;
            }

            int result;
            fixed (MMsgHdr* messages = _messages) result = Libc.SendMessages(descriptor, messages + sent, (uint)run, Sockets.MSG_DONTWAIT);
            if (result < 0)
            {
                int errno = Marshal.GetLastSystemError();
                if (errno == Errno.EINTR) continue;
                head.Outcome = head.SegmentSize != 0 && errno is Errno.EIO or Errno.EINVAL
                    ? SendUnsegmented(descriptor, sent, head, batch, errno)
                    : Outcome(errno);
                sent++;
                continue;
            }
            for (int i = 0; i < result; i++) trains[_trainOf[sent++]].Outcome = SendOutcome.Sent;
        }
    }

    /// <summary>The kernel segments no datagrams without a checksum.</summary>
    private bool MustSendSingly(UnderlayEndpoint peer) =>
        SegmentationRefusal is not null || (_zeroChecksums & (peer.IsIPv4 ? ZeroChecksums.SendIpv4 : ZeroChecksums.SendIpv6)) != 0;

    /// <summary>Messages from <paramref name="start"/> on that the kernel can be given as they are.</summary>
    private int RunLength(Span<DatagramTrain> trains, int start, int count, bool singly)
    {
        if (!singly) return count - start;
        int end = start;
        while (end < count && trains[_trainOf[end]].SegmentSize == 0) end++;
        return end - start;
    }

    private SendOutcome SendSingly(int descriptor, int message, in DatagramTrain train, SendBatch batch)
    {
        MsgHdr header = _messages[message].msg_hdr;
        header.msg_controllen -= ControlMessage.IntSpace;
        return _singles.Send(descriptor, header, train.SegmentSize, batch.Slices(train));
    }

    /// <summary>
    /// The kernel refused the segment size: because it is more than the interface's MTU (EINVAL before Linux 6.14), or because it cannot segment
    /// on this way at all (EIO without checksum offload, or under IPsec). Single datagrams tell which.
    /// </summary>
    private SendOutcome SendUnsegmented(int descriptor, int message, in DatagramTrain train, SendBatch batch, int errno)
    {
        SendOutcome outcome = SendSingly(descriptor, message, train, batch);
        if (outcome == SendOutcome.Sent)
        {
            SegmentationRefusal = $"UDP_SEGMENT to {train.Peer.Endpoint} is refused ({LinuxException.Describe(errno)}): "
                + "datagrams leave one at a time";
        }
        return outcome;
    }

    internal static SendOutcome Outcome(int errno) => errno switch
    {
        Errno.EAGAIN or Errno.ENOBUFS => SendOutcome.QueueFull,
        Errno.EMSGSIZE => SendOutcome.TooBig,
        Errno.ENETUNREACH or Errno.EHOSTUNREACH or Errno.ENETDOWN or Errno.ENODEV => SendOutcome.Unreachable,
        _ => SendOutcome.Refused,
    };
}
