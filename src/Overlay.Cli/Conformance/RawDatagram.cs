using System.Net;
using System.Net.Sockets;
using Overlay.Wire;

namespace Overlay.Cli.Conformance;

/// <summary>A UDP datagram with any checksum (raw(7)).</summary>
internal static class RawDatagram
{
    private const ushort SourcePort = 14_791;
    private const int PayloadLength = 200;

    /// <param name="server">Where it goes.</param>
    /// <param name="token">Of the series; its number is 0 where the checksum is wrong, else 1.</param>
    /// <param name="isRight">Whether the checksum is right.</param>
    /// <exception cref="SocketException">Raw sockets are not allowed.</exception>
    public static void Send(IPEndPoint server, ulong token, bool isRight)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Raw, ProtocolType.Udp);
        socket.Connect(new IPEndPoint(server.Address, 0));
        UInt128 from = IpBits.V6OrMapped(((IPEndPoint)socket.LocalEndPoint!).Address), to = IpBits.V6OrMapped(server.Address);
        byte[] datagram = new byte[UdpHeader.HeaderLength + PayloadLength];
        Datagram.Write(datagram.AsSpan(UdpHeader.HeaderLength), Datagram.Counted, token, isRight ? 1 : 0);
        UdpHeader.Write(datagram, SourcePort, (ushort)server.Port, datagram.Length);
        ulong pseudoHeader = IpBits.IsMapped(to)
            ? InternetChecksum.PseudoHeaderV4((uint)from, (uint)to, IpProtocols.Udp, datagram.Length)
            : InternetChecksum.PseudoHeaderV6(from, to, IpProtocols.Udp, datagram.Length);
        ushort checksum = InternetChecksum.FinishUdp(InternetChecksum.Add(datagram, pseudoHeader));
        // Neither zero, which is none, nor the other form of the same number.
        if (!isRight) checksum = (ushort)(checksum ^ 0x5a5a) is var wrong and not 0 and not ushort.MaxValue ? wrong : (ushort)(checksum ^ 0x0101);
        InternetChecksum.Store(datagram.AsSpan(UdpHeader.ChecksumOffset), checksum);
        socket.Send(datagram);
    }
}
