using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Offload;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

public sealed class AccountingTests
{
    [Fact]
    public void Process_AnyFramesAnyOffloadsAnyOutcomes_EveryPacketIsCountedOnce() => Seeded.Check(300, random =>
    {
        TunnelOffload tunnel = random.Next(2) == 0 ? TunnelOffload.None : TunnelOffload.Ipv4 | TunnelOffload.Ipv6;
        var lab = new EgressLab(tunnel, trainCapacity: random.Next(1, 20), sliceCapacity: random.Next(1, 300));
        lab.Underlay.Outcome = _ => random.Next(4) == 0 ? (SendOutcome)random.Next(5) : SendOutcome.Sent;
        int frames = random.Next(1, 120);
        for (int i = 0; i < frames; i++)
        {
            byte[] frame = RandomFrame(random, out VirtioNetHeader offload);
            lab.Deliver(frame, offload);
        }
        lab.Run();

        Assert.Equal(lab.Counters.EgressIn.Packets, lab.Counters.EgressOut.Packets + lab.Counters.EgressAnswered + lab.EgressDrops);
        Assert.InRange(lab.Counters.EgressIn.Packets, frames, long.MaxValue);
        Assert.Equal(lab.Counters.EgressOut.Packets, lab.Underlay.Sent.Sum(sent => sent.Train.Packets));
        Assert.Equal(lab.Counters.EgressAnswered + lab.Counters.IcmpErrors, lab.Device.Written.Count);
        long towardsPeers = new[] { lab.B, lab.C, lab.D }.Sum(peer => peer.Traffic.Egress(0).Packets);
        Assert.Equal(lab.Counters.EgressOut.Packets, towardsPeers);
    });

    [Fact]
    public void Process_AnyFramesAnyOffloads_WritesOnlyIntoItsOwnFrame() => Seeded.Check(300, random =>
    {
        var lab = new EgressLab();
        byte[] victim = new InnerFrame { Source = 1, Destination = EgressLab.V4(7, 1), Payload = new byte[100] }.Finished();
        for (int i = 0; i < 20; i++)
        {
            lab.Deliver(victim);
            lab.Deliver(RandomFrame(random, out VirtioNetHeader offload), offload);
        }
        lab.Deliver(victim);
        lab.Device.Read(lab.Input);
        for (int next = 0; next < lab.Input.Count; lab.Output.Clear())
            next = lab.Path.Process(lab.Input, next, lab.Segment, lab.Output, lab.Answers, lab.Counters);
        for (int i = 0; i < lab.Input.Count; i += 2)
        {
            Frame frame = lab.Input.Frames[i];
            Assert.Equal(victim, lab.Input.Memory.Span(frame.Offset, frame.Length).ToArray());
        }
    });

    private static byte[] RandomFrame(Random random, out VirtioNetHeader offload)
    {
        offload = default;
        byte[] bytes;
        if (random.Next(3) == 0)
        {
            bytes = new byte[RandomFrames.MaxLength];
            bytes = bytes[..RandomFrames.Write(random, bytes)];
        }
        else
        {
            InnerFrame frame = Routed(random);
            int size = random.Next(4) == 0 ? 0 : random.Next(1, 3000);
            offload = frame.Offload(size);
            bytes = frame.Unfinished();
        }
        if (random.Next(3) == 0) Scramble(random, ref offload);
        for (int i = random.Next(3) == 0 ? random.Next(8) : 0; i > 0; i--) bytes[random.Next(Math.Min(bytes.Length, 90))] = (byte)random.Next(256);
        return random.Next(10) == 0 ? bytes[..random.Next(bytes.Length)] : bytes;
    }

    private static InnerFrame Routed(Random random)
    {
        bool isIpv6 = random.Next(2) == 0;
        int node = random.Next(2, 10);
        return new InnerFrame
        {
            IsIpv6 = isIpv6,
            IsUdp = random.Next(2) == 0,
            Source = isIpv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
            Destination = isIpv6 ? EgressLab.V6(node, 9) : EgressLab.V4(node, 9),
            SourcePort = (ushort)random.Next(1, 8),
            Payload = new byte[random.Next(5) == 0 ? random.Next(65_400) : random.Next(3000)],
            TrafficClass = (byte)random.Next(256),
            Ipv6Extension = random.Next(4) == 0 ? 8 : 0,
            Tags = random.Next(5) == 0 ? [new VlanTag(EtherTypes.Vlan, 1)] : [],
        };
    }

    private static void Scramble(Random random, ref VirtioNetHeader offload)
    {
        switch (random.Next(6))
        {
            case 0: offload.Flags = (VirtioNetFlags)random.Next(256); break;
            case 1: offload.GsoType = (VirtioGsoType)random.Next(256); break;
            case 2: offload.SegmentSize = (ushort)random.Next(65_536); break;
            case 3: offload.ChecksumStart = (ushort)random.Next(200); break;
            case 4: offload.ChecksumOffset = (ushort)random.Next(65_536); break;
            default: offload.HeaderLength = (ushort)random.Next(65_536); break;
        }
    }
}
