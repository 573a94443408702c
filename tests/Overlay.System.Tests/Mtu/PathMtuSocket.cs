using System.Buffers.Binary;
using System.Net.Sockets;

namespace Overlay.SystemTests.Mtu;

/// <summary>What ip(7) and ipv6(7) tell of path MTUs.</summary>
internal static class PathMtuSocket
{
    private const int IpLevel = 0, IpMtuDiscover = 10, IpMtu = 14;
    private const int Ipv6Level = 41, Ipv6MtuDiscover = 23, Ipv6Mtu = 24;
    private const int Do = 2;

    /// <summary>Sets DF, and refuses what is larger than the known path MTU.</summary>
    public static void NeverFragment(Socket socket)
    {
        Span<byte> value = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(value, Do);
        bool is4 = socket.AddressFamily == AddressFamily.InterNetwork;
        socket.SetRawSocketOption(is4 ? IpLevel : Ipv6Level, is4 ? IpMtuDiscover : Ipv6MtuDiscover, value);
    }

    /// <summary>The known path MTU of a connected socket, in bytes.</summary>
    public static int PathMtu(Socket socket)
    {
        Span<byte> value = stackalloc byte[sizeof(int)];
        bool is4 = socket.AddressFamily == AddressFamily.InterNetwork;
        socket.GetRawSocketOption(is4 ? IpLevel : Ipv6Level, is4 ? IpMtu : Ipv6Mtu, value);
        return BinaryPrimitives.ReadInt32LittleEndian(value);
    }
}
