using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

public sealed class SegmentationTests
{
    [Fact]
    public void Process_RandomSuperPackets_EqualsNaiveSegmentation() => Seeded.Check(400, random =>
    {
        var lab = new EgressLab();
        InnerFrame frame = RandomSuperPacket(random);
        int size = random.Next(Math.Max(48, frame.Payload.Length / 1000), 9000);
        lab.Deliver(frame.Unfinished(), frame.Offload(size));
        lab.Run();

        byte[] untagged = (frame with { Tags = [] }).Unfinished();
        List<byte[]> expected = NaiveSegmenter.Segment(untagged, (frame with { Tags = [] }).TransportOffset, frame.IsUdp, size);
        foreach (byte[] segment in expected) EthernetFrame.WriteHeader(segment, lab.B.Mac, lab.Segment.DeviceMac, frame.IsIpv6 ? EtherTypes.Ipv6 : EtherTypes.Ipv4);
        Assert.Equal(expected, lab.InnerFramesSent);
        Assert.All(lab.Underlay.Sent.SelectMany(train => train.Datagrams), datagram => Assert.Equal([8, 0, 0, 0, 0, 0, (byte)EgressLab.Vni, 0], datagram[..8]));
        Assert.Equal(expected.Count, lab.Counters.EgressOut.Packets);
        Assert.Equal(expected.Sum(segment => segment.Length), lab.Counters.EgressOut.Bytes);
        Assert.Equal(lab.Counters.EgressOut, lab.B.Traffic.Egress(0));
        Assert.Equal(expected.Count > 1 ? 1 : 0, lab.Counters.EgressOut.SuperPackets);
    });

    [Fact]
    public void Process_SuperPacketBeyondOneSend_IsSplitAtBothLimits()
    {
        var lab = new EgressLab();
        InnerFrame small = Frame(new byte[64_000]), large = Frame(new byte[65_400]);
        lab.Deliver(small.Unfinished(), small.Offload(500));
        lab.Run();
        lab.Deliver(large.Unfinished(), large.Offload(1398));
        lab.Run();

        Assert.Equal([64, 64, 44, 3], lab.Underlay.Sent.Select(sent => sent.Train.Packets));
        Assert.All(lab.Underlay.Sent, sent => Assert.InRange(sent.Train.Length, 1, 65_507));
        Assert.Equal([562, 562, 1460, 1460], lab.Underlay.Sent.Select(sent => (int)sent.Train.SegmentSize));
        Assert.Equal(64_000 + 65_400, lab.InnerFramesSent.Sum(inner => inner.Length - 54));
    }

    [Fact]
    public void Process_UdpSegmentWhoseChecksumIsZero_SendsAllOnes()
    {
        var lab = new EgressLab();
        InnerFrame frame = Frame(new byte[4]) with { IsUdp = true };
        byte[] finished = frame.Finished();
        ushort checksum = InternetChecksum.Read(finished.AsSpan(frame.TransportOffset + UdpHeader.ChecksumOffset));
        byte[] payload = [0, 0, 0, 0];
        InternetChecksum.Store(payload, checksum);
        InnerFrame zero = frame with { Payload = [.. payload, .. payload] };
        lab.Deliver(zero.Unfinished(), zero.Offload(4));
        lab.Run();
        Assert.Equal(2, lab.InnerFramesSent.Count());
        Assert.All(lab.InnerFramesSent, inner => Assert.Equal([0xff, 0xff], inner[40..42]));
    }

    [Fact]
    public void Process_NoRoomInTheBatch_GoesOnWithTheNext()
    {
        var lab = new EgressLab(trainCapacity: 4, sliceCapacity: 128);
        for (int i = 0; i < 6; i++)
        {
            InnerFrame frame = Frame(new byte[60_000]) with { SourcePort = (ushort)(1000 + i) };
            lab.Deliver(frame.Unfinished(), frame.Offload(1400));
        }
        lab.Run();
        Assert.Equal(6 * 43, lab.Counters.EgressOut.Packets);
        Assert.Equal(0, lab.EgressDrops);
    }

    [Fact]
    public void Process_SuperPacketLargerThanTheWholeBatch_IsDroppedAsQueueFull()
    {
        var lab = new EgressLab(trainCapacity: 4, sliceCapacity: 32);
        InnerFrame frame = Frame(new byte[60_000]);
        lab.Deliver(frame.Unfinished(), frame.Offload(1400));
        lab.Run();
        Assert.Equal(43, lab.Counters.Drops[(int)DropReason.EgressQueueFull]);
        Assert.Equal(43, lab.Counters.EgressIn.Packets);
    }

    [Fact]
    public void Process_SuperPacketsOfOneFlow_ShareTrains()
    {
        var lab = new EgressLab();
        InnerFrame first = Frame(new byte[20 * 1000]), second = Frame(new byte[(10 * 1000) + 1]) with { SequenceNumber = 500 };
        lab.Deliver(first.Unfinished(), first.Offload(1000));
        lab.Deliver(second.Unfinished(), second.Offload(1000));
        lab.Run();
        DatagramTrain train = Assert.Single(lab.Underlay.Sent).Train;
        Assert.Equal(31, train.Packets);
        Assert.Equal(2, train.SuperPackets);
    }

    private static InnerFrame Frame(byte[] payload) =>
        new() { Source = EgressLab.LocalV4, Destination = EgressLab.V4(2, 9), Payload = payload };

    private static InnerFrame RandomSuperPacket(Random random)
    {
        bool isIpv6 = random.Next(2) == 0;
        byte[] payload = new byte[random.Next(1, 65_300)];
        random.NextBytes(payload);
        return new InnerFrame
        {
            IsIpv6 = isIpv6,
            IsUdp = random.Next(3) == 0,
            Source = isIpv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
            Destination = isIpv6 ? EgressLab.V6(2, 9) : EgressLab.V4(2, 9),
            Payload = payload,
            TrafficClass = (byte)random.Next(256),
            Identification = (ushort)random.Next(65_536),
            SequenceNumber = (uint)random.NextInt64(1L << 32),
            Flags = (TcpFlags)random.Next(256),
            Ipv4Options = random.Next(3) == 0 ? [1, 1, 1, 0] : [],
            TcpOptions = random.Next(2) == 0 ? [1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9] : [],
            Ipv6Extension = random.Next(3) == 0 ? 16 : 0,
            Tags = random.Next(3) == 0 ? [new VlanTag(EtherTypes.Vlan, 7)] : [],
        };
    }
}
