using Overlay.Dataplane.Counters;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Ingress;

public sealed class DropTests
{
    private static readonly PlainPacket Good = new() { Payload = new byte[100] };

    [Fact]
    public void Process_UnknownPeer_CountsEveryDatagramOfTheTrain()
    {
        var node = new IngressNode();
        byte[] datagram = IngressNode.Tunnel(Good.Build());
        node.Underlay.Deliver(IngressNode.Stranger, [.. datagram, .. datagram, .. datagram[..20]], datagram.Length);
        node.Underlay.Deliver(IngressNode.Stranger, []);
        node.Run();
        AssertDropped(node, node.Unassigned, DropReason.IngressUnknownPeer, 4);
    }

    [Theory]
    [InlineData(0x00)]
    [InlineData(0xf7)]
    public void Process_NoVniFlag_IsMalformed(byte flags)
    {
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(Good.Build(), flags: flags));
        node.Run();
        AssertDropped(node, node.Unassigned, DropReason.IngressMalformed, 1);
        Assert.Equal(1, node.Peers[0].Traffic.Ingress(0).Packets);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    public void Process_TooShortForVxlan_IsMalformed(int length)
    {
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, new byte[length]);
        node.Run();
        AssertDropped(node, node.Unassigned, DropReason.IngressMalformed, 1);
    }

    [Fact]
    public void Process_ReservedBitsSet_AreIgnored()
    {
        var node = new IngressNode();
        byte[] datagram = IngressNode.Tunnel(Good.Build(), flags: 0xff);
        datagram[1] = datagram[2] = datagram[3] = datagram[7] = 0xff;
        node.Underlay.Deliver(IngressNode.PeerV6, datagram);
        node.Run();
        Assert.Equal(Good.Build(), Assert.Single(node.Device.Written).Bytes);
        Assert.Equal(1, node.Peers[1].Traffic.Ingress(0).Packets);
    }

    [Fact]
    public void Process_UnknownVni_IsDropped()
    {
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(Good.Build(), vni: 0xffffff));
        node.Run();
        AssertDropped(node, node.Unassigned, DropReason.IngressUnknownSegment, 1);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(13)]
    [InlineData(33)]
    [InlineData(140)]
    public void Process_TruncatedInnerFrame_IsMalformed(int length) => AssertRefused(Good.Build()[..length], DropReason.IngressInnerMalformed);

    [Fact]
    public void Process_InnerVersionContradictsEtherType_IsMalformed()
    {
        byte[] frame = Good.Build();
        frame[14] = 0x65;
        AssertRefused(frame, DropReason.IngressInnerMalformed);
    }

    [Theory]
    [InlineData(0x81, 0x00)]
    [InlineData(0x88, 0xa8)]
    public void Process_InnerVlanTag_IsDropped(byte high, byte low)
    {
        byte[] frame = Good.Build();
        AssertRefused([.. frame[..12], high, low, 0, 7, .. frame[12..]], DropReason.IngressInnerVlan);
    }

    [Fact]
    public void Process_OtherDestinationMac_IsDropped() =>
        AssertRefused((Good with { DestinationMac = [2, 0, 0, 0, 0, 0x0c] }).Build(), DropReason.IngressInnerMac);

    [Fact]
    public void Process_DifferentMacInAnOpenRun_IsDropped()
    {
        var node = new IngressNode();
        node.RunSingly(Good.Build(), (Good.Next(new byte[100]) with { DestinationMac = [2, 0, 0, 0, 0, 0x0c] }).Build());
        Assert.Equal(Good.Build(), Assert.Single(node.Device.Written).Bytes);
        Assert.Equal(1, node.Counters.Drops[(int)DropReason.IngressInnerMac]);
    }

    [Theory]
    [InlineData(new byte[] { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff })]
    [InlineData(new byte[] { 0x33, 0x33, 0, 0, 0, 1 })]
    public void Process_GroupDestination_IsAccepted(byte[] destination)
    {
        byte[] frame = (Good with { DestinationMac = destination }).Build();
        Assert.Equal(frame, Assert.Single(new IngressNode().RunSingly(frame)).Bytes);
    }

    [Theory]
    [InlineData(0x08, 0x06)]
    [InlineData(0x88, 0xcc)]
    public void Process_FrameThatIsNotIp_IsPassedOn(byte high, byte low)
    {
        byte[] frame = [.. PlainPacket.DeviceMac, .. PlainPacket.PeerMac, high, low, .. new byte[46]];
        MemoryFrame written = Assert.Single(new IngressNode().RunSingly(frame));
        Assert.Equal(frame, written.Bytes);
        Assert.Equal(default, written.Offload);
    }

    [Fact]
    public void Process_CongestionOnAPacketThatCannotReact_IsDropped()
    {
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(Good.Build()), trafficClass: 3);
        node.Run();
        AssertDropped(node, node.Counters, DropReason.IngressEcnConflict, 1);
    }

    [Fact]
    public void Account_DeviceWithoutRoom_CountsThePacketsOfEveryFrame()
    {
        var node = new IngressNode();
        node.Device.Room = 1;
        PlainPacket other = Good with { Host = 7 };
        node.RunSingly(Good.Build(), other.Build(), other.Next(new byte[100]).Build());
        Assert.Equal(1, node.Counters.IngressOut.Packets);
        Assert.Equal(2, node.Counters.Drops[(int)DropReason.IngressDeviceRefused]);
        node.AssertConserved();
    }

    [Fact]
    public void Process_MoreDatagramsThanAPortWasMadeFor_AreDroppedAsRefused()
    {
        var node = new IngressNode();
        byte[] datagram = IngressNode.Tunnel([.. PlainPacket.DeviceMac, .. PlainPacket.PeerMac, 8, 6]);
        byte[] train = [.. Enumerable.Repeat(datagram, 1000).SelectMany(bytes => bytes)];
        for (int i = 0; i < 2; i++) node.Underlay.Deliver(IngressNode.PeerV4, train, datagram.Length);
        node.Run();
        Assert.Equal(1024, node.Device.Written.Count);
        Assert.Equal(2000 - 1024, node.Counters.Drops[(int)DropReason.IngressDeviceRefused]);
        node.AssertConserved();
    }

    private static void AssertRefused(byte[] frame, DropReason reason)
    {
        var node = new IngressNode();
        node.RunSingly(frame);
        AssertDropped(node, node.Counters, reason, 1);
    }

    private static void AssertDropped(IngressNode node, QueueCounters counters, DropReason reason, int packets)
    {
        Assert.Empty(node.Device.Written);
        Assert.Empty(node.OtherDevice.Written);
        Assert.Equal(packets, counters.Drops[(int)reason]);
        Assert.Equal(packets, counters.IngressIn.Packets);
        Assert.Equal(0, counters.IngressOut.Packets);
        node.AssertConserved();
    }
}
