using System.Net;
using System.Net.Sockets;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Underlay;

/// <summary>
/// The sockets that send, one of each family a source port. Ports lie in 49152–65535 (RFC 7348, 5) and start above the range from which
/// Linux picks ephemeral ports, so that nobody else is likely to want them; a port that is taken in any family is passed over.
/// </summary>
internal sealed class SourceSockets : IDisposable
{
    private const int FirstPort = 49_152;
    private const int PreferredPort = 61_000;
    private const int LastPort = 65_535;
    private const int BufferBytes = 8 << 20;

    private readonly FileDescriptor?[] _ipv4;
    private readonly FileDescriptor?[] _ipv6;
    private readonly ushort[] _ports;
    private readonly FileDescriptor?[] _fragmenting;
    private readonly UdpUnderlayOptions _options;
    private readonly IPAddress? _localV4;
    private readonly Lock _opening = new();

    public SourceSockets(UdpUnderlayOptions options, IPAddress? ipv4, IPAddress? ipv6, List<string> refusals)
    {
        _ipv4 = new FileDescriptor?[options.SourcePortCount];
        _ipv6 = new FileDescriptor?[options.SourcePortCount];
        _ports = new ushort[options.SourcePortCount];
        _fragmenting = new FileDescriptor?[options.SourcePortCount];
        (_options, _localV4) = (options, ipv4);
        int candidate = 0;
        try
        {
            for (int i = 0; i < _ports.Length; i++)
            {
                while (!TryOpen(i, PortAt(candidate), options, ipv4, ipv6, refusals)) candidate++;
                _ports[i] = PortAt(candidate++);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public IReadOnlyList<ushort> Ports => _ports;

    /// <summary>The descriptor that sends from a port; -1 where the family has no local address.</summary>
    public int Descriptor(int portIndex, bool ipv6) => (ipv6 ? _ipv6 : _ipv4)[portIndex]?.Number ?? -1;

    /// <summary>The descriptor that sends IPv4 without DF from a port. Opened when it is first wanted, by any thread.</summary>
    /// <returns>-1 where the family has no local address, or no socket is to be had.</returns>
    public int FragmentingDescriptor(int portIndex)
    {
        if (Volatile.Read(ref _fragmenting[portIndex]) is { } open) return open.Number;
        if (_localV4 is null) return -1;
        lock (_opening)
        {
            _fragmenting[portIndex] ??= OpenFragmenting(_ipv4[portIndex]!, _localV4, _ports[portIndex]);
            return _fragmenting[portIndex]?.Number ?? -1;
        }
    }

    public void Dispose()
    {
        foreach (FileDescriptor? socket in _fragmenting) socket?.Dispose();
        foreach (FileDescriptor? socket in _ipv4) socket?.Dispose();
        foreach (FileDescriptor? socket in _ipv6) socket?.Dispose();
    }

    /// <summary>The ports in the order they are tried.</summary>
    internal static ushort PortAt(int candidate)
    {
        const int Preferred = LastPort - PreferredPort + 1;
        if (candidate < Preferred) return (ushort)(PreferredPort + candidate);
        int port = FirstPort + candidate - Preferred;
        return port < PreferredPort
            ? (ushort)port
            : throw new LinuxException($"bind to source ports in {FirstPort}-{LastPort}", Errno.EADDRINUSE, "too few are free; use fewer queues or source ports");
    }

    private bool TryOpen(int index, ushort port, UdpUnderlayOptions options, IPAddress? ipv4, IPAddress? ipv6, List<string> refusals)
    {
        if (ipv4 is not null && (_ipv4[index] = TryOpen(ipv4, port, options, refusals)) is null) return false;
        if (ipv6 is null || (_ipv6[index] = TryOpen(ipv6, port, options, refusals)) is not null) return true;
        _ipv4[index]?.Dispose();
        _ipv4[index] = null;
        return false;
    }

    private FileDescriptor? OpenFragmenting(FileDescriptor owner, IPAddress local, ushort port)
    {
        // Its owner has got the port for itself; now it shares it with this one.
        UdpSocket.Set(owner, Sockets.SOL_SOCKET, Sockets.SO_REUSEADDR, 1, "SO_REUSEADDR");
        FileDescriptor socket = UdpSocket.Open(ipv6: false);
        try
        {
            if (_options.Interface is { } name) UdpSocket.BindToDevice(socket, name);
            UdpSocket.DropAll(socket);
            SetSendOptions(socket, ipv6: false, _options);
            UdpSocket.Set(socket, Sockets.IPPROTO_IP, Sockets.IP_MTU_DISCOVER, Sockets.IP_PMTUDISC_DONT, "IP_MTU_DISCOVER");
            UdpSocket.SetBuffer(socket, send: true, BufferBytes);
            UdpSocket.Set(socket, Sockets.SOL_SOCKET, Sockets.SO_REUSEADDR, 1, "SO_REUSEADDR");
            if (UdpSocket.Bind(socket, local, port) == 0) return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
        socket.Dispose();
        return null;
    }

    private static FileDescriptor? TryOpen(IPAddress address, ushort port, UdpUnderlayOptions options, List<string> refusals)
    {
        bool ipv6 = address.AddressFamily == AddressFamily.InterNetworkV6;
        FileDescriptor socket = UdpSocket.Open(ipv6);
        try
        {
            if (options.Interface is { } name) UdpSocket.BindToDevice(socket, name);
            UdpSocket.DropAll(socket);
            SetSendOptions(socket, ipv6, options);
            if (UdpSocket.SetBuffer(socket, send: true, BufferBytes) is { } refusal && !refusals.Contains(refusal)) refusals.Add(refusal);
            int errno = UdpSocket.Bind(socket, address, port);
            if (errno == 0) return socket;
            if (errno != Errno.EADDRINUSE) throw new LinuxException($"bind UDP {new IPEndPoint(address, port)}", errno);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
        socket.Dispose();
        return null;
    }

    private static void SetSendOptions(FileDescriptor socket, bool ipv6, UdpUnderlayOptions options)
    {
        // PROBE sets DF yet trusts no path MTU that the kernel was told by ICMP: a forged or stale too-big can neither stop nor shrink the
        // tunnel. DO would fail sends by that cache; INTERFACE would leave DF clear. Only the interface's own MTU gives EMSGSIZE.
        if (ipv6)
        {
            UdpSocket.Set(socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_MTU_DISCOVER, Sockets.IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER");
            UdpSocket.Set(socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_DONTFRAG, 1, "IPV6_DONTFRAG");
            UdpSocket.Set(socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_UNICAST_HOPS, options.TimeToLive, "IPV6_UNICAST_HOPS");
            // The flow label then is the destination's, whatever the host makes of labels by itself.
            UdpSocket.Set(socket, Sockets.IPPROTO_IPV6, Sockets.IPV6_FLOWINFO_SEND, 1, "IPV6_FLOWINFO_SEND");
            if (options.ZeroChecksums.HasFlag(ZeroChecksums.SendIpv6))
                UdpSocket.Set(socket, Sockets.SOL_UDP, Sockets.UDP_NO_CHECK6_TX, 1, "UDP_NO_CHECK6_TX");
        }
        else
        {
            UdpSocket.Set(socket, Sockets.IPPROTO_IP, Sockets.IP_MTU_DISCOVER, Sockets.IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER");
            UdpSocket.Set(socket, Sockets.IPPROTO_IP, Sockets.IP_TTL, options.TimeToLive, "IP_TTL");
            if (options.ZeroChecksums.HasFlag(ZeroChecksums.SendIpv4)) UdpSocket.Set(socket, Sockets.SOL_SOCKET, Sockets.SO_NO_CHECK, 1, "SO_NO_CHECK");
        }
    }
}
