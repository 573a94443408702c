using System.Net;
using System.Net.Sockets;
using Overlay.Testing.Captures;
using Overlay.Wire;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.PacketNet.Tests;

/// <summary>
/// Frames of random contents, in the encapsulations that PacketDotNet knows: VXLAN to port 4789, and IP in IP. PacketDotNet 1.4.8 looks for
/// the payload in the wrong place behind an IPv6 Fragment header or several extension headers, and throws where the last one ends the
/// packet, so outer IPv6 is compared without them, and inner IPv6 in the golden captures only.
/// </summary>
public sealed class RandomAgreementTests
{
    private const int Frames = 20_000;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Decode_RandomTunnels_AgreesWithPacketDotNet(int seed)
    {
        var random = new Random(seed);
        var decoder = new FrameDecoder(new TunnelPorts());
        int compared = 0;
        for (int i = 0; i < Frames; i++)
        {
            byte[] frame = RandomTunnels.Frame(random);
            TunnelFields ours = TunnelFields.Of(decoder.Decode(CapturedFrame.Ethernet(frame)));
            bool isComparable = ours.OuterDestinationPort is null or VxlanHeader.DefaultPort
                && ours.InnerSource is { AddressFamily: AddressFamily.InterNetwork } && !HasExtensionHeaders(frame, ours.OuterSource!);
            if (!isComparable) continue;
            TunnelFields theirs = PacketNetDecoder.Read(frame);
            Assert.True(theirs == ours, $"seed {seed}, frame {i}, {Convert.ToHexStringLower(frame)}: PacketDotNet reads {theirs}, ours is {ours}");
            compared++;
        }
        Assert.InRange(compared, Frames / 10, Frames);
    }

    /// <summary>Next Header stands two bytes before the source address.</summary>
    private static bool HasExtensionHeaders(byte[] frame, IPAddress source) => source.AddressFamily == AddressFamily.InterNetworkV6
        && frame[frame.AsSpan().IndexOf(source.GetAddressBytes()) - 2] is not (IpProtocols.Udp or IpProtocols.Ipv4InIp or IpProtocols.Ipv6InIp);
}
