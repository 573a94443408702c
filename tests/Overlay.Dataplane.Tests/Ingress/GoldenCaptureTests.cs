using System.Buffers.Binary;
using Overlay.Dataplane.Counters;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>What a kernel VXLAN device put on a wire arrives at the device bit for bit; tagged inner frames do not arrive.</summary>
public sealed class GoldenCaptureTests
{
    private const int PcapHeader = 24, RecordHeader = 16;

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

    /// <summary>UDP payloads of a little-endian pcap file of Ethernet frames, each IPv4 or IPv6 without extension headers.</summary>
    private static IEnumerable<byte[]> Datagrams(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        Assert.Equal(0xa1b2c3d4, BinaryPrimitives.ReadUInt32LittleEndian(file));
        for (int at = PcapHeader; at < file.Length;)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(at + 8));
            byte[] frame = file[(at + RecordHeader)..(at + RecordHeader + length)];
            at += RecordHeader + length;
            int udp = frame[12] == 0x08 ? 14 + ((frame[14] & 15) * 4) : 54;
            yield return frame[(udp + 8)..(udp + BinaryPrimitives.ReadUInt16BigEndian(frame.AsSpan(udp + 4)))];
        }
    }
}
