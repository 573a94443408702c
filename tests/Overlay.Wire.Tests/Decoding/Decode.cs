using Overlay.Testing.Captures;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.Wire.Tests.Decoding;

/// <summary>Decodes frames by way of a capture file.</summary>
internal static class Decode
{
    public static DecodedFrame Frame(byte[] frame, TunnelPorts? ports = null) => Frame(new CaptureRecord(frame), ports);

    public static DecodedFrame Frame(CaptureRecord record, TunnelPorts? ports = null, uint linkType = PcapFile.EthernetLinkType)
    {
        var reader = CaptureReader.Open(new MemoryStream(PcapFile.Write([record], linkType: linkType)));
        Assert.True(reader.TryRead(out CapturedFrame frame));
        return new FrameDecoder(ports ?? new TunnelPorts()).Decode(frame);
    }

    public static void HasNoTunnel(DecodedFrame decoded)
    {
        Assert.Equal(TunnelKind.None, decoded.Tunnel);
        Assert.Equal((null, null, null, null, null), (decoded.OuterSource, decoded.OuterDestination, decoded.OuterSourcePort, decoded.OuterDestinationPort, decoded.Vni));
        Assert.Equal((null, null, null), (decoded.InnerLength, decoded.InnerProtocol, decoded.VxlanFlags));
        Assert.Equal((null, null, null, null), (decoded.InnerSource, decoded.InnerDestination, decoded.InnerEthernetSource, decoded.InnerEthernetDestination));
        Assert.Equal((null, null, null, null), (decoded.GroupPolicyId, decoded.IsOam, decoded.HasCriticalOptions, decoded.Options));
    }

    public static void HasInner(DecodedFrame decoded, int length, bool isEthernet, bool? isIpv6)
    {
        Assert.Equal(length, decoded.InnerLength);
        Assert.Equal(isEthernet ? TestFrames.InnerSourceMac : null, decoded.InnerEthernetSource?.ToString());
        Assert.Equal(isEthernet ? TestFrames.InnerDestinationMac : null, decoded.InnerEthernetDestination?.ToString());
        Assert.Equal(Pick(isIpv6, TestFrames.InnerSourceV4, TestFrames.InnerSourceV6), decoded.InnerSource?.ToString());
        Assert.Equal(Pick(isIpv6, TestFrames.InnerDestinationV4, TestFrames.InnerDestinationV6), decoded.InnerDestination?.ToString());
    }

    public static void HasOuter(DecodedFrame decoded, TunnelKind kind, bool isIpv6, int? destinationPort)
    {
        Assert.Equal(kind, decoded.Tunnel);
        Assert.Equal(Pick(isIpv6, TestFrames.OuterSourceV4, TestFrames.OuterSourceV6), decoded.OuterSource?.ToString());
        Assert.Equal(Pick(isIpv6, TestFrames.OuterDestinationV4, TestFrames.OuterDestinationV6), decoded.OuterDestination?.ToString());
        Assert.Equal(destinationPort is null ? null : TestFrames.SourcePort, decoded.OuterSourcePort);
        Assert.Equal(destinationPort, decoded.OuterDestinationPort);
    }

    private static string? Pick(bool? isIpv6, string v4, string v6) => isIpv6 is null ? null : isIpv6.Value ? v6 : v4;
}
