using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Ingress;

public sealed class EcnDecapsulationTests
{
    private const int NotEct = 0, Ect1 = 1, Ect0 = 2, Ce = 3;

    /// <summary>RFC 6040, figure 4: inner, outer, outgoing; −1 is drop.</summary>
    public static TheoryData<int, int, int> Figure4 => new()
    {
        { NotEct, NotEct, NotEct }, { NotEct, Ect0, NotEct }, { NotEct, Ect1, NotEct }, { NotEct, Ce, -1 },
        { Ect0, NotEct, Ect0 }, { Ect0, Ect0, Ect0 }, { Ect0, Ect1, Ect1 }, { Ect0, Ce, Ce },
        { Ect1, NotEct, Ect1 }, { Ect1, Ect0, Ect1 }, { Ect1, Ect1, Ect1 }, { Ect1, Ce, Ce },
        { Ce, NotEct, Ce }, { Ce, Ect0, Ce }, { Ce, Ect1, Ce }, { Ce, Ce, Ce },
    };

    [Theory]
    [MemberData(nameof(Figure4))]
    public void Combine_EveryPair_IsAsInFigure4(int inner, int outer, int outgoing) =>
        Assert.Equal(outgoing, EcnDecapsulation.Combine(inner | 0x48, outer | 0xb4));

    [Theory]
    [MemberData(nameof(Figure4))]
    public void Process_EveryPairInIpv4_MarksThePacketAndKeepsChecksumsRight(int inner, int outer, int outgoing) =>
        AssertMarked(new PlainPacket(), inner, outer, outgoing);

    [Theory]
    [MemberData(nameof(Figure4))]
    public void Process_EveryPairInIpv6_MarksThePacket(int inner, int outer, int outgoing) =>
        AssertMarked(new PlainPacket { V6 = true }, inner, outer, outgoing);

    [Fact]
    public void Process_CongestionMarkWithinATrainOfOneFlow_IsNotSpreadToOtherPackets()
    {
        PlainPacket first = new() { TrafficClass = Ect0, Payload = new byte[300] };
        PlainPacket second = first.Next(new byte[300]);
        PlainPacket third = second.Next(new byte[300]);
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(first.Build()), trafficClass: Ect0);
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(second.Build()), trafficClass: Ce);
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(third.Build()), trafficClass: Ect0);
        node.Run();
        Assert.Equal(
            [first.Build(), (second with { TrafficClass = Ce }).Build(), third.Build()],
            node.Device.Written.SelectMany(PlainSegmenter.Segment));
    }

    [Fact]
    public void Process_TrainMarkedWhole_IsStillCoalesced()
    {
        PlainPacket first = new() { TrafficClass = Ect0, Payload = new byte[300] };
        byte[] train = [.. IngressNode.Tunnel(first.Build()), .. IngressNode.Tunnel(first.Next(new byte[300]).Build())];
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, train, train.Length / 2, trafficClass: Ce);
        node.Run();
        PlainPacket marked = first with { TrafficClass = Ce };
        Assert.Equal([marked.Build(), marked.Next(new byte[300]).Build()], PlainSegmenter.Segment(Assert.Single(node.Device.Written)));
    }

    [Fact]
    public void Process_WrongIpv4HeaderChecksum_StaysWrongWhenMarked()
    {
        byte[] frame = new PlainPacket { TrafficClass = Ect0, Payload = new byte[10] }.Build();
        frame[25] ^= 1;
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(frame), trafficClass: Ce);
        node.Run();
        MemoryFrame written = Assert.Single(node.Device.Written);
        Assert.Equal(Ce, written.Bytes[15]);
        Assert.NotEqual(0xffff, PlainPacket.Sum(written.Bytes.AsSpan(14, 20)));
    }

    [Fact]
    public void Process_CongestionOnAFrameThatIsNotIp_PassesItOn()
    {
        byte[] frame = [.. PlainPacket.DeviceMac, .. PlainPacket.PeerMac, 8, 6, .. new byte[28]];
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(frame), trafficClass: Ce);
        node.Run();
        Assert.Equal(frame, Assert.Single(node.Device.Written).Bytes);
    }

    private static void AssertMarked(PlainPacket packet, int inner, int outer, int outgoing)
    {
        const int Dscp = 0xb8;
        packet = packet with { TrafficClass = (byte)(Dscp | inner), Payload = new byte[50] };
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(packet.Build()), trafficClass: (byte)(0x20 | outer));
        node.Run();
        if (outgoing < 0)
        {
            Assert.Empty(node.Device.Written);
            Assert.Equal(1, node.Counters.Drops[(int)DropReason.IngressEcnConflict]);
            return;
        }
        byte[] expected = (packet with { TrafficClass = (byte)(Dscp | outgoing) }).Build();
        Assert.Equal(expected, Assert.Single(node.Device.Written).Bytes);
    }
}
