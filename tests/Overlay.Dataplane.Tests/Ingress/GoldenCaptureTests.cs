using System.Buffers.Binary;
using Overlay.Dataplane.Counters;
using Overlay.Testing;
using Overlay.Wire;
using Overlay.Wire.Capture;

namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>What a kernel VXLAN device put on a wire arrives at the device bit for bit; tagged inner frames do not arrive.</summary>
public sealed class GoldenCaptureTests
{
    [Theory]
    [InlineData("outer-ipv4")]
    [InlineData("outer-ipv6")]
    [InlineData("inner-fragments")]
    [InlineData("inner-injected")]
    public void Process_DatagramsOfAKernel_AreDecapsulated(string capture)
    {
        int decapsulated = 0;
        foreach (byte[] datagram in Datagrams(Path.Combine(AppContext.BaseDirectory, "golden", capture + ".pcap")))
        {
            byte[] inner = datagram[8..];
            var node = new IngressNode(new MacAddress(inner));
            node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(inner, flags: datagram[0]));
            node.Run();
            node.AssertConserved();
            bool isTagged = inner[12] is 0x81 or 0x88 && inner[13] is 0x00 or 0xa8;
            Assert.Equal(isTagged ? 1 : 0, node.Counters.Drops[(int)DropReason.IngressInnerVlan]);
            if (isTagged) continue;
            MemoryFrame frame = Assert.Single(node.Device.Written);
            Assert.Equal(inner, frame.Bytes);
            decapsulated++;
        }
        Assert.True(decapsulated > 0);
    }

    /// <summary>The UDP payloads of a capture of frames that are IPv4, or IPv6 without extension headers.</summary>
    private static List<byte[]> Datagrams(string path)
    {
        var datagrams = new List<byte[]>();
        using FileStream file = File.OpenRead(path);
        CaptureReader reader = CaptureReader.Open(file);
        while (reader.TryRead(out CapturedFrame captured))
        {
            ReadOnlySpan<byte> frame = captured.Data;
            int udp = frame[12] == 0x08 ? 14 + ((frame[14] & 15) * 4) : 54;
            datagrams.Add(frame[(udp + 8)..(udp + BinaryPrimitives.ReadUInt16BigEndian(frame[(udp + 4)..]))].ToArray());
        }
        return datagrams;
    }
}
