using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

[Collection(nameof(RunAlone))]
public sealed class AllocationTests
{
    [Theory]
    [InlineData(TunnelOffload.None)]
    [InlineData(TunnelOffload.Ipv4 | TunnelOffload.Ipv6)]
    public void Process_ManyBatchesOfEveryKind_AllocatesNothing(TunnelOffload tunnel)
    {
        var lab = new EgressLab(tunnel);
        MemoryFrame[] frames = EveryKind();
        for (int i = 0; i < 200; i++) RunBatch(lab, frames);
        int batches = 200;
        Assert.Equal(0, AllocationMeter.Measure(() =>
        {
            for (int i = 0; i < 2_000; i++, batches++) RunBatch(lab, frames);
        }));
        Assert.Equal(batches, lab.Counters.EgressAnswered);
        Assert.InRange(lab.EgressDrops, batches, 3 * batches);
    }

    private static void RunBatch(EgressLab lab, MemoryFrame[] frames)
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
            next = lab.Path.Process(lab.Input, next, lab.Segment, lab.Output, lab.Answers, lab.Counters);
            lab.Path.Account(lab.Output, lab.Counters);
        }
        lab.Path.ShowAnswers(lab.Answers);
        lab.Answers.Clear();
    }

    private static MemoryFrame[] EveryKind()
    {
        var tcp = new InnerFrame { Source = EgressLab.LocalV4, Destination = EgressLab.V4(2, 9), Payload = new byte[20_000] };
        InnerFrame overV6 = tcp with { Destination = EgressLab.V4(4, 9) };
        InnerFrame udp = tcp with { IsIpv6 = true, IsUdp = true, Source = EgressLab.LocalV6, Destination = EgressLab.V6(3, 9) };
        InnerFrame small = tcp with { Payload = new byte[64], SourcePort = 9 };
        byte[] arp = new byte[42];
        EthernetFrame.WriteHeader(arp, MacAddress.Broadcast, default, EtherTypes.Arp);
        ArpPacket.Write(arp.AsSpan(14), ArpOperation.Request, default, EgressLab.LocalV4, default, EgressLab.V4(2, 9));
        return
        [
            new(tcp.Offload(1398), tcp.Unfinished()),
            new(small.Offload(0), small.Unfinished()),
            new(udp.Offload(1000), udp.Unfinished()),
            new(small.Offload(0), small.Unfinished()),
            new(overV6.Offload(1398), overV6.Unfinished()),
            new(default, arp),
            new(default, new byte[20]),
            new(default, (small with { Destination = 1 }).Finished()),
            new(default, (small with { Destination = EgressLab.V4(8, 9) }).Finished()),
            new(tcp.Offload(1398), (tcp with { Destination = EgressLab.V4(9, 9) }).Unfinished()),
        ];
    }
}
