using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Offload;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

public sealed class EncapsulationTests
{
    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Process_UnfinishedChecksum_LeavesFinished(bool isIpv6, bool isUdp)
    {
        var lab = new EgressLab();
        InnerFrame frame = Frame(isIpv6) with { IsUdp = isUdp };
        lab.Deliver(frame.Unfinished(), frame.Offload(0));
        lab.Run();
        byte[] expected = frame.Finished();
        EthernetFrame.WriteHeader(expected, lab.B.Mac, lab.Segment.DeviceMac, isIpv6 ? EtherTypes.Ipv6 : EtherTypes.Ipv4);
        Assert.Equal([8, 0, 0, 0, 0, 0, (byte)EgressLab.Vni, 0, .. expected], Assert.Single(lab.Underlay.Sent).Bytes);
    }

    [Fact]
    public void Process_FinishedFrame_ChangesOnlyTheMacs()
    {
        var lab = new EgressLab();
        byte[] frame = Frame(isIpv6: false).Finished();
        frame[^1] ^= 1; // a wrong checksum is the receiver's to find: no laundering
        lab.Deliver(frame);
        lab.Run();
        Assert.Equal(frame[12..], Assert.Single(lab.InnerFramesSent)[12..]);
    }

    [Fact]
    public void Process_UdpChecksumThatComesOutZero_SendsAllOnes()
    {
        var lab = new EgressLab();
        InnerFrame frame = Frame(isIpv6: false) with { IsUdp = true, Payload = [0, 0] };
        byte[] payload = [0, 0];
        InternetChecksum.Store(payload, InternetChecksum.Read(frame.Finished().AsSpan(40)));
        frame = frame with { Payload = payload };
        lab.Deliver(frame.Unfinished(), frame.Offload(0));
        lab.Run();
        Assert.Equal([0xff, 0xff], Assert.Single(lab.InnerFramesSent)[40..42]);
    }

    [Fact]
    public void Process_ChecksumOfATunnelledHeader_IsFinishedWhereTheDeviceSays()
    {
        var lab = new EgressLab();
        InnerFrame inside = Frame(isIpv6: false), outside = Frame(isIpv6: false) with { IsUdp = true, Payload = inside.Unfinished() };
        VirtioNetHeader offload = inside.Offload(0);
        offload.ChecksumStart += 42;
        lab.Deliver(outside.Finished(), offload);
        lab.Run();
        Assert.Equal(inside.Finished(), Assert.Single(lab.InnerFramesSent)[42..]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Process_VlanTags_AreStripped(int count)
    {
        var lab = new EgressLab();
        InnerFrame frame = Frame(isIpv6: false) with { Tags = [.. Enumerable.Repeat(new VlanTag(EtherTypes.Vlan, 5), count)] };
        lab.Deliver(frame.Unfinished(), frame.Offload(0));
        lab.Run();
        Assert.Equal((frame with { Tags = [] }).Finished()[12..], Assert.Single(lab.InnerFramesSent)[12..]);
    }

    [Theory]
    [InlineData(0x00)]
    [InlineData(0x01)]
    [InlineData(0x02)]
    [InlineData(0x03)]
    public void Process_InnerEcn_IsCopiedBesideTheConfiguredDscp(byte ecn)
    {
        var lab = new EgressLab(trafficClass: 0xb8 | 3);
        lab.Deliver((Frame(isIpv6: false) with { TrafficClass = (byte)(0x20 | ecn) }).Finished());
        lab.Deliver((Frame(isIpv6: true) with { TrafficClass = (byte)(0x40 | ecn) }).Finished());
        lab.Run();
        Assert.All(lab.Underlay.Sent, sent => Assert.Equal(0xb8 | ecn, sent.Train.TrafficClass));
        Assert.Equal(0x20 | ecn, lab.InnerFramesSent.First()[15]);
    }

    [Fact]
    public void Process_SmallPacketsOfOneFlow_LeaveAsOneContiguousSlice()
    {
        var lab = new EgressLab();
        for (int i = 0; i < 64; i++) lab.Deliver(Frame(isIpv6: false).Finished());
        lab.Device.Read(lab.Input);
        lab.Path.Process(lab.Input, 0, lab.Segment, lab.Output, lab.Answers, lab.Counters);
        Assert.Equal(1, lab.Output.Count);
        Assert.Equal(1, lab.Output.Trains[0].SliceCount);
        Assert.Equal(64, lab.Output.Trains[0].Packets);
    }

    [Fact]
    public void Process_TooLittleHeadroom_Throws()
    {
        var lab = new EgressLab();
        var input = new FrameBatch(new PacketMemory(1 << 17), headroom: 7, capacity: 1, superPacketLimit: 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => lab.Path.Process(input, 0, lab.Segment, lab.Output, lab.Answers, lab.Counters));
    }

    private static InnerFrame Frame(bool isIpv6) => new()
    {
        IsIpv6 = isIpv6,
        Source = isIpv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
        Destination = isIpv6 ? EgressLab.V6(2, 9) : EgressLab.V4(2, 9),
        Payload = [1, 2, 3, 4, 5],
    };
}
