using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Netlink;

/// <summary>
/// Links, addresses, routes and neighbours of the network namespace of the thread that made this (rtnetlink(7)). Not for use by two
/// threads at once. A request that the kernel refuses throws a <see cref="LinuxException"/> with the kernel's own explanation in its text.
/// </summary>
public sealed partial class Rtnetlink : IDisposable
{
    private readonly NetlinkSocket _socket = new();

    /// <summary>Netlink port of its requests, by which the kernel's notifications of their effects can be told.</summary>
    internal uint PortId => _socket.PortId;

    /// <summary>
    /// Makes the changes that <paramref name="changes"/> asks for by one system call, in their order, once it returns. It may ask for nothing but
    /// changes.
    /// </summary>
    /// <exception cref="LinuxException">The first that the kernel refuses; those behind it are made, where they can be.</exception>
    public void Together(Action<Rtnetlink> changes)
    {
        _socket.Gather();
        try
        {
            changes(this);
        }
        catch
        {
            _socket.Discard();
            throw;
        }
        _socket.ExecuteGathered();
    }

    public void Dispose() => _socket.Dispose();

    private static byte Family(IPAddress address) =>
        (byte)(address.AddressFamily == AddressFamily.InterNetwork ? Sockets.AF_INET : Sockets.AF_INET6);

    /// <summary>Splits the body of an answer into the family's fixed header and attributes.</summary>
    private static NetlinkAttributes Split<T>(ReadOnlySpan<byte> body, out T header)
        where T : unmanaged
    {
        header = MemoryMarshal.Read<T>(body);
        return new NetlinkAttributes(body[NetlinkRequest.Align(Unsafe.SizeOf<T>())..]);
    }
}
