using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Mtu;

/// <summary>ICMP errors about packets that this node cannot have sent, to a daemon that has nothing better than ICMP to go by.</summary>
public sealed class ForgedErrorTests(KernelPeer<RoutedKernel> pair) : IClassFixture<KernelPeer<RoutedKernel>>
{
    private const byte Udp = 17;
    private const int DontFragment = 0x4000;
    private const int Forged = 900, Believed = 1390, Sent = 1500;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Icmp_QuoteOfWhatThisNodeDidNotSend_IsNotBelievedAndATrueOneIs()
    {
        await UnderlayMtu.UntilAsync(status => status.Peers[0].Path.State == "unanswered", pair.Daemon);
        (string ours, string theirs, int port) = (pair.Ours.Underlay4, pair.Kernel.Underlay4, TunnelOptions.Flannel.Port);
        int source = await SourcePortAsync();
        byte[][] forged =
        [
            Error(ours, theirs, source, port + 1, Forged),
            Error(ours, theirs, 9, port, Forged),
            Error(ours, "192.0.2.77", source, port, Forged),
            Error("192.0.2.77", theirs, source, port, Forged),
            Error(ours, theirs, source, port, Forged, fragment: 0),
            Error(ours, theirs, source, port, Forged, fragment: DontFragment | 8),
            Error(ours, theirs, source, port, Forged, protocol: 6),
            Error(ours, theirs, source, port, Forged, length: Forged),
            Error(ours, theirs, source, port, Forged, code: 3),
            Error(ours, theirs, source, port, 60),
            Error(ours, theirs, source, port, Forged)[..20],
            Damaged(Error(ours, theirs, source, port, Forged)),
        ];

        using Socket raw = await pair.Kernel.Host.OpenAsync(() => new Socket(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.Icmp));
        var target = new IPEndPoint(IPAddress.Parse(ours), 0);
        foreach (byte[] message in forged) await raw.SendToAsync(message, target);
        // One after the other by one socket: what was sent first has been looked at when the last is believed. Had a smaller one been, it would stay.
        await raw.SendToAsync(Error(ours, theirs, source, port, Believed), target);

        await UnderlayMtu.UntilAsync(status => status.Peers[0].Path.Evidence == "icmp", pair.Daemon);
        PathStatus path = (await pair.Daemon.StatusAsync()).Peers[0].Path;
        Assert.Equal((Believed, false), (path.Mtu, path.BlackHole));
    }

    /// <summary>A port that the daemon sends from, as its peer sees it.</summary>
    private async Task<int> SourcePortAsync()
    {
        using Socket raw = await pair.Kernel.Host.OpenAsync(() => new Socket(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.Udp));
        raw.ReceiveTimeout = (int)Deadline.TotalMilliseconds;
        await TcpCheck.RunAsync(pair.Ours.Pod, pair.Kernel.Pod, pair.Kernel.Pod4, streams: 1, bytes: 1);
        byte[] packet = new byte[ushort.MaxValue];
        raw.Receive(packet);
        return BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(20));
    }

    /// <summary>RFC 792, destination unreachable, and RFC 1191, 4.</summary>
    private static byte[] Error(
        string source, string destination, int sourcePort, int destinationPort, int mtu, int fragment = DontFragment, byte protocol = Udp,
        int length = Sent, byte code = 4)
    {
        byte[] start = [.. PlainBytes.Word(sourcePort), .. PlainBytes.Word(destinationPort), .. PlainBytes.Word(length - 20), 0, 0];
        byte[] message = [3, code, 0, 0, 0, 0, .. PlainBytes.Word(mtu), .. PlainBytes.Ipv4(source, destination, protocol, start, length: length, fragment: fragment)];
        PlainBytes.Word(PlainBytes.Checksum(message)).CopyTo(message, 2);
        return message;
    }

    private static byte[] Damaged(byte[] message)
    {
        message[^1] ^= 1;
        return message;
    }
}
