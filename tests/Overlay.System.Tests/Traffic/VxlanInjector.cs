using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;
using Overlay.Wire;

namespace Overlay.SystemTests.Traffic;

/// <summary>Sends single datagrams to a node's tunnel port, made by hand.</summary>
internal static class VxlanInjector
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5);

    /// <summary>Sends a datagram a number of times.</summary>
    /// <param name="from">Namespace to send in.</param>
    /// <param name="source">A local underlay address there.</param>
    /// <param name="to">Node to send to.</param>
    /// <param name="port">Its tunnel's port.</param>
    /// <param name="payload">UDP payload.</param>
    /// <param name="count">How often.</param>
    public static async Task SendAsync(NetworkNamespace from, string source, LabNode to, int port, byte[] payload, int count)
    {
        IPAddress address = IPAddress.Parse(source);
        using Socket socket = await from.OpenAsync(() => new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp));
        socket.Bind(new IPEndPoint(address, 0));
        using var expired = new CancellationTokenSource(Deadline);
        var destination = new IPEndPoint(IPAddress.Parse(to.Underlay), port);
        for (int i = 0; i < count; i++) await socket.SendToAsync(payload, destination, expired.Token);
    }

    /// <summary>A VXLAN datagram with an inner IPv4 frame of an unused protocol, well formed.</summary>
    public static byte[] Datagram(uint vni, string destinationMac, string sourceMac, bool tagged = false)
    {
        byte[] tag = tagged ? [0x81, 0x00, 0x00, 0x05] : [];
        // IPv4, 20 octets, TTL 64, protocol 253 (RFC 3692), 10.244.2.2 to 10.244.1.2.
        byte[] packet = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 10, 244, 2, 2, 10, 244, 1, 2];
        ushort checksum = InternetChecksum.Finish(InternetChecksum.Add(packet));
        BitConverter.TryWriteBytes(packet.AsSpan(10), checksum);
        byte[] header = new byte[VxlanHeader.Length];
        VxlanHeader.Write(header, vni);
        return [.. header, .. Octets(destinationMac), .. Octets(sourceMac), .. tag, 0x08, 0x00, .. packet];
    }

    private static byte[] Octets(string mac) => Convert.FromHexString(mac.Replace(":", "", StringComparison.Ordinal));
}
