using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Egress;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Bridging;

[Collection(nameof(RunAlone))]
public sealed class AllocationTests
{
    [Theory]
    [InlineData(TunnelOffload.None)]
    [InlineData(TunnelOffload.Ipv4 | TunnelOffload.Ipv6)]
    public void Forward_ManyBatchesOfEveryKindBothWays_AllocatesNothing(TunnelOffload tunnel)
    {
        var lab = new BridgeLab(new BridgeLabOptions { Tunnel = tunnel, LearnsNeighbours = true, LearnLimit = 8, Fixed = [(BridgeFrames.Host(9), 2)] });
        lab.Peers[1].Path.LinkMtu = 1000;
        MemoryFrame[] frames = EveryKind();
        byte[][] datagrams = Incoming(lab);
        for (int i = 0; i < 200; i++) Round(lab, frames, datagrams);
        Assert.Equal(0, AllocationMeter.Measure(() =>
        {
            for (int i = 0; i < 1000; i++) Round(lab, frames, datagrams);
        }));
        Assert.True(lab.Counters.EgressAnswered > 1000);
        Assert.True(lab.Counters.EgressReplicated > 1000);
        Assert.True(lab.Counters.MacMoves > 1000);
        Assert.True(lab.Counters.MacsNotLearned > 1000 && lab.Counters.NeighboursNotLearned > 1000);
        DropReason[] expected =
        [
            DropReason.EgressMalformed, DropReason.EgressTooBig, DropReason.EgressLocalMac, DropReason.EgressSourceMac, DropReason.EgressReservedMac,
            DropReason.EgressSpoofedMac, DropReason.IngressInnerMalformed, DropReason.IngressSourceMac, DropReason.IngressReservedMac, DropReason.IngressSpoofedMac,
        ];
        Assert.All(expected, reason => Assert.True(lab.Drops(reason) > 1000, $"{reason}: {lab.Drops(reason)}"));
        lab.CheckBalance();
    }

    private static void Round(BridgeLab lab, MemoryFrame[] frames, byte[][] datagrams)
    {
        lab.Input.Clear();
        foreach (MemoryFrame frame in frames)
        {
            ref Frame slot = ref lab.Input.Next();
            slot.Offload = frame.Offload;
            frame.Bytes.CopyTo(lab.Input.Memory.Span(slot.Offset, frame.Bytes.Length));
            lab.Input.Commit(frame.Bytes.Length);
        }
        for (int next = 0; next < lab.Input.Count; lab.Output.Clear())
        {
            next = lab.Egress.Process(lab.Input, next, lab.Segment, lab.Output, lab.Answers, lab.Counters);
            lab.Egress.Account(lab.Output, lab.Counters);
        }
        lab.Answers.Clear();
        lab.Received.Count = 0;
        foreach (byte[] datagram in datagrams)
        {
            int slot = lab.Received.Count++;
            int offset = ReceiveBatch.SlotOffset(slot);
            datagram.CopyTo(lab.Received.Memory.Span(offset, datagram.Length));
            lab.Received.Slots[slot] = new ReceivedTrain
            {
                Offset = offset,
                Length = datagram.Length,
                SegmentSize = datagram.Length,
                Source = lab.Peers[slot % 2].Endpoint,
            };
        }
        lab.ProcessReceived();
        lab.Port.Account();
    }

    private static MemoryFrame[] EveryKind()
    {
        MacAddress host = BridgeFrames.Host(1), far = BridgeFrames.Host(2);
        var tcp = new InnerFrame { Source = EgressLab.V4(9, 1), Destination = EgressLab.V4(9, 2), Payload = new byte[20_000] };
        return
        [
            new(tcp.Offload(900), BridgeFrames.Addressed(tcp.Unfinished(), far, host)),
            new(tcp.Offload(1398), BridgeFrames.Addressed(tcp.Unfinished(), MacAddress.Broadcast, host)),
            new(default, BridgeFrames.Udp(far, host, ipv6: true, 1400)),
            new(default, BridgeFrames.Udp(far, host, ipv6: false, 1400)),
            new(default, BridgeFrames.Plain(MacAddress.Broadcast, host)),
            new(default, BridgeFrames.Plain(BridgeLab.OwnMac, host)),
            new(default, BridgeFrames.Plain(far, BridgeFrames.Host(9))),
            new(default, BridgeFrames.Plain(far, MacAddress.Broadcast)),
            new(default, BridgeFrames.Plain(new MacAddress([1, 0x80, 0xc2, 0, 0, 0]), host)),
            new(default, BridgeFrames.Plain(far, BridgeFrames.Host(3))),
            new(default, BridgeFrames.Arp(ArpOperation.Request, host, EgressLab.V4(9, 1), EgressLab.V4(9, 2))),
            new(default, BridgeFrames.Solicitation(host, EgressLab.V6(9, 1), EgressLab.V6(9, 2))),
            new(default, new byte[10]),
        ];
    }

    /// <summary>Even ones come from the first peer, odd ones from the second.</summary>
    private static byte[][] Incoming(BridgeLab lab)
    {
        MacAddress host = BridgeFrames.Host(1), far = BridgeFrames.Host(2);
        byte[][] frames =
        [
            BridgeFrames.Plain(host, BridgeFrames.Host(3)),
            BridgeFrames.Arp(ArpOperation.Reply, far, EgressLab.V4(9, 2), EgressLab.V4(9, 1)),
            BridgeFrames.Udp(host, BridgeFrames.Host(9), ipv6: false, 100),
            BridgeFrames.Advertisement(far, EgressLab.V6(9, 2), NeighborFlags.Override),
            BridgeFrames.Plain(host, MacAddress.Broadcast),
            BridgeFrames.Plain(new MacAddress([1, 0x80, 0xc2, 0, 0, 0]), far),
            new byte[10],
            .. Enumerable.Range(0, 9).Select(last => BridgeFrames.Arp(ArpOperation.Reply, BridgeFrames.Host((byte)(20 + last)), EgressLab.V4(8, last), 1)),
        ];
        return [.. frames.Select(frame => (byte[])[.. lab.Segment.TunnelHeader, .. frame])];
    }
}
