using Overlay.Dataplane.Offload;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Ingress;

public sealed class CoalescerTests
{
    private const byte Ack = 0x10, AckPsh = 0x18;

    public static TheoryData<bool, bool> Families => new() { { false, false }, { false, true }, { true, false }, { true, true } };

    [Theory]
    [MemberData(nameof(Families))]
    public void Process_TrainOfOneFlow_WritesOneSuperPacketThatSegmentsBack(bool v6, bool udp)
    {
        byte[][] frames = Flow(new PlainPacket { V6 = v6, Udp = udp }, 44, 1400);
        var node = new IngressNode();
        node.DeliverTrain(frames);
        node.Run();

        MemoryFrame frame = Assert.Single(node.Device.Written);
        Assert.Equal(VirtioNetFlags.NeedsChecksum, frame.Offload.Flags);
        Assert.Equal(1400, frame.Offload.SegmentSize);
        Assert.Equal(frames, PlainSegmenter.Segment(frame));
        Assert.Equal(1, node.Counters.IngressOut.SuperPackets);
        Assert.Equal(44, node.Counters.IngressOut.Packets);
        Assert.Equal(frames.Sum(bytes => bytes.Length), node.Counters.IngressOut.Bytes);
        Assert.Equal(1, node.Peers[0].Traffic.Ingress(0).SuperPackets);
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Process_ShorterPacket_EndsTheRunAsItsLast(bool v6, bool udp)
    {
        PlainPacket first = new() { V6 = v6, Udp = udp, Payload = Bytes(500) };
        PlainPacket second = first.Next(Bytes(499));
        PlainPacket third = second.Next(Bytes(500));
        AssertWritten([[first, second], [third]]);
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Process_LongerPacket_BeginsAnotherRun(bool v6, bool udp)
    {
        PlainPacket first = new() { V6 = v6, Udp = udp, Payload = Bytes(500) };
        PlainPacket second = first.Next(Bytes(501));
        PlainPacket third = second.Next(Bytes(501));
        AssertWritten([[first], [second, third]]);
    }

    [Fact]
    public void Process_Push_EndsTheRunAndStaysOnTheLastSegment()
    {
        PlainPacket first = new() { Payload = Bytes(500) };
        PlainPacket second = first.Next(Bytes(500)) with { Flags = AckPsh };
        PlainPacket third = second.Next(Bytes(500)) with { Flags = Ack };
        AssertWritten([[first, second], [third]]);
    }

    [Fact]
    public void Process_PushOnTheFirst_IsPassedAloneAndMarkedValid()
    {
        PlainPacket first = new() { Payload = Bytes(500), Flags = AckPsh };
        IReadOnlyList<MemoryFrame> written = AssertWritten([[first], [first.Next(Bytes(500))]]);
        Assert.Equal(VirtioNetFlags.DataValid, written[0].Offload.Flags);
    }

    [Theory]
    [InlineData(0x11)] // FIN
    [InlineData(0x12)] // SYN
    [InlineData(0x14)] // RST
    [InlineData(0x30)] // URG
    [InlineData(0x50)] // ECE
    [InlineData(0x90)] // CWR
    [InlineData(0x00)] // no ACK
    public void Process_OtherFlags_ArePassedAloneBehindTheirRun(byte flags)
    {
        PlainPacket first = new() { Payload = Bytes(500) };
        PlainPacket second = first.Next(Bytes(500));
        PlainPacket third = second.Next(Bytes(500)) with { Flags = flags };
        PlainPacket fourth = third.Next(Bytes(500)) with { Flags = Ack };
        AssertWritten([[first, second], [third], [fourth]]);
    }

    public static TheoryData<string> Differences => [
        "acknowledgment", "window", "ttl", "tos", "df", "options", "option length", "source mac group", "sequence gap", "repeat"];

    [Theory]
    [MemberData(nameof(Differences))]
    public void Process_DifferenceInTheFlow_EndsTheRunAndKeepsTheOrder(string difference)
    {
        PlainPacket first = new() { Payload = Bytes(500) };
        PlainPacket next = first.Next(Bytes(500));
        PlainPacket second = difference switch
        {
            "acknowledgment" => next with { Acknowledgment = 78 },
            "window" => next with { Window = 501 },
            "ttl" => next with { TimeToLive = 63 },
            "tos" => next with { TrafficClass = 4 },
            "df" => next with { DontFragment = false },
            "options" => next with { TcpOptions = [1, 1, 8, 10, 0, 0, 1, 3, 0, 0, 3, 4] },
            "option length" => next with { TcpOptions = [] },
            "source mac group" => next with { DestinationMac = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] },
            "sequence gap" => next with { Sequence = next.Sequence + 1 },
            "repeat" => next with { Sequence = first.Sequence },
            _ => throw new ArgumentOutOfRangeException(nameof(difference)),
        };
        AssertWritten([[first], [second, second.Next(Bytes(500))]]);
    }

    [Fact]
    public void Process_IdentificationsWithoutDontFragment_MustBeConsecutive()
    {
        PlainPacket first = new() { Payload = Bytes(500), DontFragment = false, Identification = 0xffff };
        PlainPacket second = first.Next(Bytes(500));
        PlainPacket third = second.Next(Bytes(500)) with { Identification = 5 };
        AssertWritten([[first, second], [third]]);
    }

    [Fact]
    public void Process_IdentificationsOfAtomicPackets_DoNotMatter()
    {
        PlainPacket first = new() { Payload = Bytes(500), Identification = 0 };
        PlainPacket second = first.Next(Bytes(500)) with { Identification = 0 };
        MemoryFrame frame = Assert.Single(new IngressNode().RunSingly(first.Build(), second.Build()));
        Assert.Equal([first.Build(), (second with { Identification = 1 }).Build()], PlainSegmenter.Segment(frame));
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Process_WrongChecksum_IsPassedAloneUnmarkedAndUnchanged(bool v6, bool udp)
    {
        PlainPacket first = new() { V6 = v6, Udp = udp, Payload = Bytes(500) };
        PlainPacket second = first.Next(Bytes(500));
        byte[] corrupt = second.Build();
        corrupt[^3] ^= 0x40;
        IReadOnlyList<MemoryFrame> written = new IngressNode().RunSingly(first.Build(), corrupt, second.Build());
        Assert.Equal([first.Build(), corrupt, second.Build()], written.Select(frame => frame.Bytes));
        Assert.Equal([VirtioNetFlags.DataValid, VirtioNetFlags.None, VirtioNetFlags.DataValid], written.Select(frame => frame.Offload.Flags));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Process_WrongIpv4HeaderChecksum_IsNotRepaired(bool isFirst)
    {
        PlainPacket first = new() { Payload = Bytes(500) };
        byte[][] frames = [first.Build(), first.Next(Bytes(500)).Build()];
        frames[isFirst ? 0 : 1][24] ^= 1;
        IReadOnlyList<MemoryFrame> written = new IngressNode().RunSingly(frames);
        Assert.Equal(frames, written.Select(frame => frame.Bytes));
    }

    [Fact]
    public void Process_UdpWithoutChecksum_IsPassedAloneUnmarked()
    {
        PlainPacket first = new() { Udp = true, NoChecksum = true, Payload = Bytes(64) };
        IReadOnlyList<MemoryFrame> written = AssertWritten([[first], [first.Next(Bytes(64))]]);
        Assert.All(written, frame => Assert.Equal(default, frame.Offload));
    }

    [Fact]
    public void Process_UdpShorterThanItsIpPacket_IsPassedAlone()
    {
        PlainPacket first = new() { Udp = true, Payload = Bytes(64) };
        byte[] odd = first.Next(Bytes(64)).Build();
        odd[39] -= 2;
        IReadOnlyList<MemoryFrame> written = new IngressNode().RunSingly(first.Build(), odd);
        Assert.Equal([first.Build(), odd], written.Select(frame => frame.Bytes));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Process_MoreDatagramsThanASuperPacketTakes_AreSplitAt64(bool v6)
    {
        byte[][] frames = Flow(new PlainPacket { V6 = v6, Udp = true }, 130, 20);
        List<MemoryFrame> written = RunInTrains(frames);
        Assert.Equal([64, 64, 2], written.Select(frame => PlainSegmenter.Segment(frame).Count));
        Assert.Equal(frames, written.SelectMany(PlainSegmenter.Segment));
    }

    [Theory]
    [InlineData(false, 1400)]
    [InlineData(true, 1400)]
    [InlineData(false, 8900)]
    [InlineData(true, 8900)]
    public void Process_MoreBytesThanAnIpPacketTakes_AreSplit(bool v6, int payload)
    {
        byte[][] frames = Flow(new PlainPacket { V6 = v6 }, 60, payload);
        List<MemoryFrame> written = RunInTrains(frames);
        Assert.All(written, frame => Assert.True(frame.Bytes.Length - 14 <= 65_535));
        Assert.Equal(frames, written.SelectMany(PlainSegmenter.Segment));
        Assert.True(written.Count <= 1 + (60 * payload / (65_535 - 100 - payload)));
    }

    [Fact]
    public void Process_SixteenInterleavedFlows_AreEachOneSuperPacketOldestFirst()
    {
        PlainPacket[] flows = [.. Enumerable.Range(0, Coalescer.MaxRuns).Select(i => new PlainPacket { Host = (byte)(i + 1), Payload = Bytes(700) })];
        IReadOnlyList<MemoryFrame> written = new IngressNode().RunSingly(flows.Select(flow => flow.Build()));
        Assert.Equal(Coalescer.MaxRuns, written.Count);

        var node = new IngressNode();
        byte[][] round1 = [.. flows.Select(flow => flow.Build())];
        byte[][] round2 = [.. flows.Select(flow => flow.Next(Bytes(700)).Build())];
        node.DeliverTrain([.. round1, .. round2]);
        node.Run();
        Assert.Equal(Coalescer.MaxRuns, node.Device.Written.Count);
        for (int i = 0; i < flows.Length; i++)
            Assert.Equal([round1[i], round2[i]], PlainSegmenter.Segment(node.Device.Written[i]));
    }

    [Fact]
    public void Process_OneFlowMoreThanRuns_TheOldestGivesWay()
    {
        PlainPacket[] flows = [.. Enumerable.Range(0, Coalescer.MaxRuns + 1).Select(i => new PlainPacket { SourcePort = (ushort)(i + 1), Payload = Bytes(700) })];
        var node = new IngressNode();
        node.DeliverTrain([.. flows.Select(flow => flow.Build()), flows[1].Next(Bytes(700)).Build()]);
        node.Run();
        Assert.Equal(flows[0].Build(), node.Device.Written[0].Bytes);
        Assert.Equal([flows[1].Build(), flows[1].Next(Bytes(700)).Build()], PlainSegmenter.Segment(node.Device.Written[1]));
        Assert.Equal(flows.Length, node.Device.Written.Count);
    }

    [Fact]
    public void Process_PaddedFrames_AreTrimmed()
    {
        PlainPacket first = new() { Udp = true, Payload = Bytes(4) };
        PlainPacket second = first.Next(Bytes(4));
        byte[] Pad(PlainPacket packet) => [.. packet.Build(), .. new byte[14]];
        MemoryFrame frame = Assert.Single(new IngressNode().RunSingly(Pad(first), Pad(second)));
        Assert.Equal([first.Build(), second.Build()], PlainSegmenter.Segment(frame));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Process_OptionsOrExtensionHeaders_ArePassedAloneBehindTheirRun(bool v6)
    {
        PlainPacket first = new() { V6 = v6, Payload = Bytes(500) };
        byte[] options = v6 ? [0, 0, 1, 4, 0, 0, 0, 0] : [1, 1, 1, 0];
        PlainPacket second = first.Next(Bytes(500)) with { IpOptions = options };
        PlainPacket third = second.Next(Bytes(500));
        AssertWritten([[first], [second], [third]]);
    }

    [Fact]
    public void Process_Fragments_ArePassedAloneBehindTheRunsOfTheirAddresses()
    {
        PlainPacket stream = new() { Udp = true, DontFragment = false, Payload = Bytes(500) };
        PlainPacket other = stream with { Host = 9 };
        PlainPacket fragment = stream.Next(Bytes(500)) with { MoreFragments = true };
        PlainPacket rest = fragment with { MoreFragments = false, FragmentOffset = 512 };
        var node = new IngressNode();
        node.DeliverTrain(other.Build(), stream.Build(), fragment.Build(), rest.Build(), stream.Build(), other.Next(Bytes(500)).Build());
        node.Run();
        Assert.Equal(
            [stream.Build(), fragment.Build(), rest.Build(), other.Build(), other.Next(Bytes(500)).Build(), stream.Build()],
            node.Device.Written.SelectMany(PlainSegmenter.Segment));
    }

    [Fact]
    public void Process_PureAcknowledgment_IsPassedAloneBehindItsRun()
    {
        PlainPacket first = new() { Payload = Bytes(500) };
        PlainPacket second = first.Next([]);
        AssertWritten([[first], [second], [second.Next(Bytes(500))]]);
    }

    [Fact]
    public void Process_SegmentsInterleaved_CoalescesEachForItsDevice()
    {
        PlainPacket first = new() { Payload = Bytes(500) };
        byte[][] frames = [first.Build(), first.Next(Bytes(500)).Build()];
        var node = new IngressNode();
        byte[] train = [.. frames.SelectMany(frame => (byte[])[.. IngressNode.Tunnel(frame), .. IngressNode.Tunnel(frame, IngressNode.OtherVni)])];
        node.Underlay.Deliver(IngressNode.PeerV4, train, 8 + frames[0].Length);
        node.Run();
        Assert.Equal(frames, PlainSegmenter.Segment(Assert.Single(node.Device.Written)));
        Assert.Equal(frames, PlainSegmenter.Segment(Assert.Single(node.OtherDevice.Written)));
    }

    private static byte[][] Flow(PlainPacket packet, int count, int payload)
    {
        byte[][] frames = new byte[count][];
        packet = packet with { Payload = Bytes(payload) };
        for (int i = 0; i < count; i++)
        {
            frames[i] = packet.Build();
            packet = packet.Next(Bytes(payload, seed: i));
        }
        return frames;
    }

    private static List<MemoryFrame> RunInTrains(byte[][] frames)
    {
        var node = new IngressNode();
        int perTrain = Math.Min(64, 65_000 / (frames[0].Length + 8));
        foreach (byte[][] train in frames.Chunk(perTrain)) node.DeliverTrain(train);
        node.Run();
        node.AssertConserved();
        return node.Device.Written;
    }

    /// <summary>Receives the packets, as trains of one datagram, and expects them joined into these groups.</summary>
    private static IReadOnlyList<MemoryFrame> AssertWritten(PlainPacket[][] groups)
    {
        var node = new IngressNode();
        IReadOnlyList<MemoryFrame> written = node.RunSingly(groups.SelectMany(group => group).Select(packet => packet.Build()));
        Assert.Equal(groups.Length, written.Count);
        for (int i = 0; i < groups.Length; i++)
            Assert.Equal(groups[i].Select(packet => packet.Build()), PlainSegmenter.Segment(written[i]));
        node.AssertConserved();
        return written;
    }

    private static byte[] Bytes(int length, int seed = 0)
    {
        byte[] bytes = new byte[length];
        new Random(length + seed).NextBytes(bytes);
        return bytes;
    }
}
