using Overlay.Dataplane.Offload;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>What a kernel tunnel sends over a virtual link: checksums left to a NIC, and super-packets that nobody segmented.</summary>
public sealed class UnfinishedChecksumTests
{
    public static TheoryData<bool, bool> Families => CoalescerTests.Families;

    [Theory]
    [MemberData(nameof(Families))]
    public void Process_UnfinishedChecksum_IsLeftToTheDevice(bool v6, bool udp)
    {
        PlainPacket packet = new() { V6 = v6, Udp = udp, Payload = new byte[333] };
        MemoryFrame frame = Assert.Single(new IngressNode().RunSingly([[.. packet.BuildUnfinished(), 0, 0]]));
        Assert.Equal(VirtioGsoType.None, frame.Offload.GsoType);
        Assert.Equal(packet.BuildUnfinished(), frame.Bytes);
        Assert.Equal([packet.Build()], PlainSegmenter.Segment(frame));
    }

    [Theory]
    [InlineData(false, 0x18, 60_000)]
    [InlineData(true, 0x18, 60_000)]
    [InlineData(false, 0x98, 3_000)]
    public void Process_TcpSuperPacketThatArrivedWhole_IsCutToTheMtu(bool v6, byte flags, int length)
    {
        byte[] payload = new byte[length];
        new Random(1).NextBytes(payload);
        PlainPacket packet = new() { V6 = v6, Flags = flags, Payload = payload };
        var node = new IngressNode();
        MemoryFrame frame = Assert.Single(node.RunSingly(packet.BuildUnfinished()));

        int size = IngressNode.Mtu - (packet.HeadersLength - 14);
        Assert.Equal(size, frame.Offload.SegmentSize);
        Assert.Equal((flags & 0x80) != 0, (frame.Offload.GsoType & VirtioGsoType.Ecn) != 0);
        List<byte[]> segments = PlainSegmenter.Segment(frame);
        Assert.Equal(payload, segments.SelectMany(segment => segment[packet.HeadersLength..]));
        Assert.Equal(segments.Count, node.Counters.IngressIn.Packets);
        Assert.Equal(segments.Sum(segment => (long)segment.Length), node.Counters.IngressIn.Bytes);
        Assert.Equal(node.Counters.IngressIn.Bytes, node.Counters.IngressOut.Bytes);
        Assert.Equal(1, node.Counters.IngressOut.SuperPackets);
        Assert.Equal(1, node.Peers[0].Traffic.Ingress(0).SuperPackets);
        node.AssertConserved();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Process_UdpSuperPacketThatArrivedWhole_IsCutAtTheSizeTheKernelReports(bool v6)
    {
        byte[] payload = new byte[20_100];
        new Random(2).NextBytes(payload);
        PlainPacket packet = new() { V6 = v6, Udp = true, Payload = payload };
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(packet.BuildUnfinished()), segmentSize: 1000);
        node.Run();

        MemoryFrame frame = Assert.Single(node.Device.Written);
        Assert.Equal(1000, frame.Offload.SegmentSize);
        Assert.Equal(payload.Chunk(1000), PlainSegmenter.Segment(frame).Select(segment => segment[packet.HeadersLength..]));
        Assert.Equal(21, node.Counters.IngressIn.Packets);
        node.AssertConserved();
    }

    [Fact]
    public void Process_LongUdpDatagram_StaysOneDatagram()
    {
        PlainPacket packet = new() { Udp = true, Payload = new byte[8000] };
        MemoryFrame frame = Assert.Single(new IngressNode().RunSingly(packet.BuildUnfinished()));
        Assert.Equal(VirtioGsoType.None, frame.Offload.GsoType);
        Assert.Equal([packet.Build()], PlainSegmenter.Segment(frame));
    }

    [Fact]
    public void Process_UnfinishedChecksumInAFlow_EndsTheRun()
    {
        PlainPacket first = new() { Payload = new byte[500] };
        PlainPacket second = first.Next(new byte[500]);
        PlainPacket third = second.Next(new byte[500]);
        IReadOnlyList<MemoryFrame> written = new IngressNode().RunSingly(first.Build(), second.BuildUnfinished(), third.Build());
        Assert.Equal([first.Build(), second.Build(), third.Build()], written.SelectMany(PlainSegmenter.Segment));
    }

    [Fact]
    public void Process_FinishedPacketLongerThanTheMtu_IsNotCut()
    {
        PlainPacket packet = new() { Payload = new byte[8000] };
        MemoryFrame frame = Assert.Single(new IngressNode().RunSingly(packet.Build()));
        Assert.Equal(VirtioNetFlags.DataValid, frame.Offload.Flags);
        Assert.Equal(packet.Build(), frame.Bytes);
    }
}
