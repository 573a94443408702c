using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Overlay.Wire;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;
using SharpPcap;
using SharpPcap.LibPcap;

namespace Overlay.PacketNet.Tests;

/// <summary>The golden datagrams once more, sent over the loopback interface and caught there by SharpPcap.</summary>
public sealed class LiveAgreementTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    public void Decode_DatagramsOnTheLoopbackInterface_AgreesWithPacketDotNet(string address)
    {
        var destination = new IPEndPoint(IPAddress.Parse(address), VxlanHeader.DefaultPort);
        List<byte[]> datagrams = [.. GoldenCaptures.Files.SelectMany(SharpPcapFile.ReadAll).Select(UdpPayload)];
        using LibPcapLiveDevice device = LibPcapLiveDeviceList.New().Single(candidate => candidate.Name == "lo");
        using var socket = new Socket(destination.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        // Somebody has to listen, or each datagram is answered by an ICMP error, which the socket then reports.
        using var listener = new Socket(destination.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        listener.Bind(destination);
        device.Open(DeviceModes.None, read_timeout: 100);
        device.Filter = $"udp dst port {destination.Port} and dst host {address}";

        foreach (byte[] datagram in datagrams) socket.SendTo(datagram, destination);

        var decoder = new FrameDecoder(new TunnelPorts());
        foreach (byte[] datagram in datagrams)
        {
            byte[] frame = Next(device);
            Assert.Equal(datagram, UdpPayload(frame));
            TunnelFields ours = TunnelFields.Of(decoder.Decode(CapturedFrame.Ethernet(frame)));
            Assert.Equal(PacketNetDecoder.Read(frame), ours);
            Assert.Equal((TunnelKind.Vxlan, destination.Address), (ours.Tunnel, ours.OuterDestination!));
        }
    }

    private static byte[] Next(LibPcapLiveDevice device)
    {
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < Deadline;)
        {
            if (device.GetNextPacket(out PacketCapture capture) == GetPacketStatus.PacketRead) return capture.Data.ToArray();
        }
        throw new TimeoutException($"no further datagram was captured within {Deadline.TotalSeconds} s");
    }

    private static byte[] UdpPayload(byte[] frame)
    {
        Assert.Equal(WireStatus.Ok, EthernetFrame.TryParse(frame, out EthernetFrame ethernet));
        ReadOnlySpan<byte> message = ethernet.Payload;
        if (Ipv4Packet.TryParse(message, out Ipv4Packet ipv4) == WireStatus.Ok) message = ipv4.Payload;
        else if (Ipv6Packet.TryParse(message, out Ipv6Packet ipv6) == WireStatus.Ok) message = ipv6.UpperPayload;
        Assert.Equal(WireStatus.Ok, UdpHeader.TryParse(message, out UdpHeader udp));
        return udp.Payload.ToArray();
    }
}
