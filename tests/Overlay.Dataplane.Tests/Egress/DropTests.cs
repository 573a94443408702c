using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Offload;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

public sealed class DropTests
{
    [Fact]
    public void Process_TruncatedOrContradictoryIp_IsMalformed()
    {
        byte[] frame = Frame().Finished();
        AssertDropped(DropReason.EgressMalformed, frame[..13]);
        AssertDropped(DropReason.EgressMalformed, frame[..^1]);
        frame[14] = 0x44;
        AssertDropped(DropReason.EgressMalformed, frame);
    }

    [Fact]
    public void Process_NeitherIpNorArp_IsNotIp()
    {
        byte[] frame = Frame().Finished();
        frame[12] = 0x88;
        AssertDropped(DropReason.EgressNotIp, frame);
    }

    [Theory]
    [InlineData(0xe0000001u)]
    [InlineData(0xefffffffu)]
    [InlineData(uint.MaxValue)]
    public void Process_GroupDestinationV4_IsMulticast(uint destination) =>
        AssertDropped(DropReason.EgressMulticast, (Frame() with { Destination = destination }).Finished());

    [Fact]
    public void Process_GroupDestinationV6_IsMulticast() =>
        AssertDropped(DropReason.EgressMulticast, (Frame() with { IsIpv6 = true, Destination = new UInt128(0xff02_0000_0000_0000, 1) }).Finished());

    [Fact]
    public void Process_GroupMac_IsMulticast()
    {
        byte[] frame = Frame().Finished();
        MacAddress.Broadcast.CopyTo(frame);
        AssertDropped(DropReason.EgressMulticast, frame);
    }

    [Fact]
    public void Process_PacketLargerThanADatagramCanBe_IsTooBig()
    {
        InnerFrame frame = Frame() with { Payload = new byte[65_490] };
        AssertDropped(DropReason.EgressTooBig, frame.Finished());
        frame = frame with { Payload = new byte[65_495] };
        AssertDropped(DropReason.EgressTooBig, frame.Unfinished(), frame.Offload(65_490), packets: 2);
    }

    [Fact]
    public void Process_PeerWhoseWayLeadsBackToUs_IsALoopUntilItLeadsOut()
    {
        var lab = new EgressLab();
        lab.B.Path.LeadsBack = true;
        lab.Deliver(Frame().Finished());
        lab.Run();
        Assert.Empty(lab.Underlay.Sent);
        Assert.Equal(1, lab.Counters.Drops[(int)DropReason.EgressLoop]);

        lab.B.Path.LeadsBack = false;
        lab.Deliver(Frame().Finished());
        lab.Run();
        Assert.Single(lab.Underlay.Sent);
    }

    public static TheoryData<string> BadOffloads => [.. Mutations.Keys];

    private static readonly Dictionary<string, Func<VirtioNetHeader, VirtioNetHeader>> Mutations = new()
    {
        ["checksum starts in the IP header"] = offload => offload with { ChecksumStart = 30 },
        ["checksum starts behind the packet"] = offload => offload with { ChecksumStart = 60_000 },
        ["checksum field behind the packet"] = offload => offload with { ChecksumOffset = 60_000 },
        ["checksum field not TCP's"] = offload => offload with { ChecksumOffset = 6 },
        ["sum of start and offset wraps"] = offload => offload with { ChecksumStart = 65_535, ChecksumOffset = 65_535 },
        ["super-packet without unfinished checksum"] = offload => offload with { Flags = VirtioNetFlags.None },
        ["super-packet of another family"] = offload => offload with { GsoType = VirtioGsoType.Tcp6 },
        ["super-packet of another transport"] = offload => offload with { GsoType = VirtioGsoType.Udp },
        ["unknown super-packet type"] = offload => offload with { GsoType = (VirtioGsoType)3 },
        ["already tunnelled"] = offload => offload with { GsoType = VirtioGsoType.Tcp4 | VirtioGsoType.TunnelIpv4 },
        ["segment size zero"] = offload => offload with { SegmentSize = 0 },
        ["too many segments"] = offload => offload with { SegmentSize = 1 },
    };

    [Theory]
    [MemberData(nameof(BadOffloads))]
    public void Process_OffloadContradictsThePacket_IsBadOffload(string mutation)
    {
        InnerFrame frame = Frame() with { Payload = new byte[8_000] };
        AssertDropped(DropReason.EgressBadOffload, frame.Unfinished(), Mutations[mutation](frame.Offload(1000)));
    }

    [Fact]
    public void Process_OffloadOnAFragment_IsBadOffload()
    {
        InnerFrame frame = Frame();
        byte[] bytes = frame.Unfinished();
        bytes[20] = 0x20;
        AssertDropped(DropReason.EgressBadOffload, bytes, frame.Offload(0));
    }

    [Fact]
    public void Process_UdpLengthShorterThanTheSuperPacket_IsBadOffload()
    {
        InnerFrame frame = Frame() with { IsUdp = true, Payload = new byte[3000] };
        byte[] bytes = frame.Unfinished();
        bytes[38] = 1;
        AssertDropped(DropReason.EgressBadOffload, bytes, frame.Offload(1000));
    }

    [Theory]
    [InlineData(SendOutcome.QueueFull, DropReason.EgressQueueFull)]
    [InlineData(SendOutcome.TooBig, DropReason.EgressTooBig)]
    [InlineData(SendOutcome.Unreachable, DropReason.EgressUnreachable)]
    [InlineData(SendOutcome.Refused, DropReason.EgressRefused)]
    public void Account_TrainNotSent_CountsItsPacketsByOutcome(SendOutcome outcome, DropReason reason)
    {
        var lab = new EgressLab();
        lab.Underlay.Outcome = _ => outcome;
        InnerFrame frame = Frame() with { Payload = new byte[5_000] };
        lab.Deliver(frame.Unfinished(), frame.Offload(1000));
        lab.Run();
        Assert.Equal(5, lab.Counters.Drops[(int)reason]);
        Assert.Equal(5, lab.Counters.EgressIn.Packets);
        Assert.Equal(default, lab.Counters.EgressOut);
        Assert.Equal(default, lab.B.Traffic.Egress(0));
    }

    private static void AssertDropped(DropReason reason, byte[] frame, VirtioNetHeader offload = default, int packets = 1)
    {
        var lab = new EgressLab();
        lab.Deliver(frame, offload);
        lab.Run();
        Assert.Equal(packets, lab.Counters.Drops[(int)reason]);
        Assert.Equal(packets, lab.Counters.EgressIn.Packets);
        Assert.Equal(packets, lab.EgressDrops);
        Assert.Empty(lab.Underlay.Sent);
        Assert.Empty(lab.Device.Written);
    }

    private static InnerFrame Frame() => new() { Source = EgressLab.LocalV4, Destination = EgressLab.V4(2, 9), Payload = [1, 2, 3] };
}
