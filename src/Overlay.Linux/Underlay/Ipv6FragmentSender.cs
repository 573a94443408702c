using System.Buffers.Binary;
using System.Net;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Linux.Interop;
using Overlay.Wire;

namespace Overlay.Linux.Underlay;

/// <summary>
/// Sends outer IPv6 packets in fragments of no more than 1280 bytes, which every path carries (RFC 2473, 7.1; RFC 8200, 4.5 and 5): the kernel
/// fragments only what its own interface does not carry. A raw socket of the fragment header's protocol takes each fragment. One thread uses it.
/// </summary>
internal sealed unsafe class Ipv6FragmentSender : IDisposable
{
    private const int LeastMtu = 1280;
    private const int FragmentHeader = 8;
    private const int BufferBytes = ushort.MaxValue + FragmentHeader;

    /// <summary>Payload bytes of each fragment but the last: a multiple of 8.</summary>
    private const int Part = (LeastMtu - Ipv6Packet.HeaderLength - FragmentHeader) & ~7;

    private readonly FileDescriptor _socket;
    private readonly UInt128 _local;
    private readonly byte[] _packet = GC.AllocateArray<byte>(BufferBytes, pinned: true);
    private readonly byte[] _header = GC.AllocateArray<byte>(FragmentHeader, pinned: true);
    private readonly BufferSlice[] _slices = GC.AllocateArray<BufferSlice>(2, pinned: true);
    private readonly SockAddrIn6[] _address = GC.AllocateArray<SockAddrIn6>(1, pinned: true);
    private readonly MMsgHdr[] _message = GC.AllocateArray<MMsgHdr>(1, pinned: true);
    private uint _identification = (uint)Random.Shared.Next();

    /// <param name="local">Outer source address.</param>
    /// <param name="device">Interface to bind to; null for none.</param>
    /// <param name="timeToLive">Hop limit of what brings none.</param>
    public Ipv6FragmentSender(IPAddress local, string? device, byte timeToLive)
    {
        _local = IpBits.V6OrMapped(local);
        _socket = FileDescriptor.Own(
            Libc.Socket(Sockets.AF_INET6, Sockets.SOCK_RAW | Sockets.SOCK_NONBLOCK | Sockets.SOCK_CLOEXEC, IpProtocols.Fragment), "socket IPv6 fragments");
        try
        {
            UdpSocket.DropAll(_socket);
            if (device is not null) UdpSocket.BindToDevice(_socket, device);
            UdpSocket.Set(_socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_MTU_DISCOVER, Sockets.IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER");
            UdpSocket.Set(_socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_UNICAST_HOPS, timeToLive, "IPV6_UNICAST_HOPS");
            UdpSocket.Set(_socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_FLOWINFO_SEND, 1, "IPV6_FLOWINFO_SEND");
            int errno = UdpSocket.Bind(_socket, local, 0);
            if (errno != 0) throw new LinuxException($"bind IPv6 fragments on {local}", errno);
        }
        catch
        {
            _socket.Dispose();
            throw;
        }
    }

    /// <summary>Sends the datagrams of a UDP train, each a packet of its own.</summary>
    /// <param name="header">Destination and control messages of every packet; its vector is not used.</param>
    /// <param name="sourcePort">Host order.</param>
    /// <param name="segmentSize">Bytes of each datagram; the last may be shorter.</param>
    /// <param name="slices">The train's bytes.</param>
    public SendOutcome SendUdp(in MsgHdr header, ushort sourcePort, int segmentSize, ReadOnlySpan<BufferSlice> slices)
    {
        Span<byte> udp = stackalloc byte[UdpHeader.HeaderLength];
        return Send(header, IpProtocols.Udp, udp, segmentSize, slices, sourcePort);
    }

    /// <summary>Sends the packets of a train, each a packet of its own.</summary>
    /// <param name="header">Destination and control messages of every packet; its vector is not used.</param>
    /// <param name="protocol">Of what follows the outer header.</param>
    /// <param name="prefix">What precedes each packet.</param>
    /// <param name="segmentSize">Bytes of each packet; the last may be shorter.</param>
    /// <param name="slices">The train's bytes.</param>
    /// <param name="sourcePort">Of UDP, whose header is <paramref name="prefix"/>.</param>
    public SendOutcome Send(
        in MsgHdr header, byte protocol, ReadOnlySpan<byte> prefix, int segmentSize, ReadOnlySpan<BufferSlice> slices, ushort sourcePort = 0)
    {
        ref SockAddrIn6 destination = ref Unsafe.AsRef<SockAddrIn6>((void*)header.msg_name);
        int upper = prefix.Length;
        int filled = upper;
        prefix.CopyTo(_packet);
        foreach (BufferSlice slice in slices)
        {
            for (nint done = 0; done < slice.Length;)
            {
                int length = (int)Math.Min(slice.Length - done, segmentSize + upper - filled);
                new ReadOnlySpan<byte>((void*)(slice.Address + done), length).CopyTo(_packet.AsSpan(filled));
                filled += length;
                done += length;
                if (filled < segmentSize + upper) continue;
                SendOutcome outcome = SendPacket(header, destination, protocol, sourcePort, filled);
                if (outcome != SendOutcome.Sent) return outcome;
                filled = upper;
            }
        }
        return filled > upper ? SendPacket(header, destination, protocol, sourcePort, filled) : SendOutcome.Sent;
    }

    public void Dispose() => _socket.Dispose();

    private SendOutcome SendPacket(MsgHdr header, in SockAddrIn6 destination, byte protocol, ushort sourcePort, int length)
    {
        Span<byte> packet = _packet.AsSpan(0, length);
        if (protocol == IpProtocols.Udp) WriteUdp(packet, sourcePort, UdpSocket.Network(destination.sin6_port), UdpSocket.Network(destination.sin6_addr));
        // Of a raw socket the port would be the protocol.
        _address[0] = destination;
        _address[0].sin6_port = 0;
        header.msg_name = Marshal.UnsafeAddrOfPinnedArrayElement(_address, 0);
        header.msg_iov = Marshal.UnsafeAddrOfPinnedArrayElement(_slices, 0);
        header.msg_iovlen = 2;
        _message[0].msg_hdr = header;
        _identification++;
        for (int offset = 0; offset < length; offset += Part)
        {
            int part = Math.Min(Part, length - offset);
            WriteFragmentHeader(protocol, offset, more: offset + part < length);
            _slices[0] = new BufferSlice(Marshal.UnsafeAddrOfPinnedArrayElement(_header, 0), FragmentHeader);
            _slices[1] = new BufferSlice(Marshal.UnsafeAddrOfPinnedArrayElement(_packet, offset), part);
            int result;
            do
            {
                fixed (MMsgHdr* message = _message) result = Libc.SendMessages(_socket.Number, message, 1, Sockets.MSG_DONTWAIT);
            }
            while (result < 0 && Marshal.GetLastSystemError() == Errno.EINTR);
            if (result < 0) return UdpSender.Outcome(Marshal.GetLastSystemError());
        }
        return SendOutcome.Sent;
    }

    private void WriteFragmentHeader(byte protocol, int offset, bool more)
    {
        _header[0] = protocol;
        _header[1] = 0;
        BinaryPrimitives.WriteUInt16BigEndian(_header.AsSpan(2), (ushort)(offset | (more ? 1 : 0)));
        BinaryPrimitives.WriteUInt32BigEndian(_header.AsSpan(4), _identification);
    }

    private void WriteUdp(Span<byte> datagram, ushort source, ushort destination, UInt128 to)
    {
        UdpHeader.Write(datagram, source, destination, datagram.Length);
        ulong sum = InternetChecksum.Add(datagram, InternetChecksum.PseudoHeaderV6(_local, to, IpProtocols.Udp, datagram.Length));
        UdpHeader.Write(datagram, source, destination, datagram.Length, InternetChecksum.FinishUdp(sum));
    }
}
