using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

public sealed class NeighborTests
{
    private static readonly MacAddress Asker = new([2, 0, 0, 0, 0, 1]);
    private static readonly UInt128 AskerV6 = EgressLab.LocalV6;

    [Theory]
    [InlineData(0x0af40209u)]
    [InlineData(RoutedGateway.AddressV4)]
    public void Process_ArpRequestForARoutedTarget_IsAnsweredWithTheGateway(uint target)
    {
        EgressLab lab = Run(Arp(ArpOperation.Request, EgressLab.LocalV4, target));
        MemoryFrame answer = Assert.Single(lab.Device.Written);
        Assert.Equal(default, answer.Offload);
        byte[] expected = new byte[42];
        EthernetFrame.WriteHeader(expected, Asker, RoutedGateway.Mac, EtherTypes.Arp);
        ArpPacket.Write(expected.AsSpan(14), ArpOperation.Reply, RoutedGateway.Mac, target, Asker, EgressLab.LocalV4);
        Assert.Equal(expected, answer.Bytes);
        Assert.Equal((1, 1, 0), (lab.Counters.EgressIn.Packets, lab.Counters.EgressAnswered, lab.EgressDrops));
        Assert.Empty(lab.Underlay.Sent);
    }

    [Fact]
    public void Process_ArpForAnUnknownTarget_IsNotAnswered() =>
        AssertDropped(DropReason.EgressNoRoute, Arp(ArpOperation.Request, EgressLab.LocalV4, EgressLab.V4(7, 1)));

    [Theory]
    [InlineData(0u)]
    [InlineData(0x0af40209u)]
    public void Process_ArpProbeOrAnnouncement_IsNotAnswered(uint sender) =>
        AssertDropped(DropReason.EgressAddressProbe, Arp(ArpOperation.Request, sender, EgressLab.V4(2, 9)));

    [Fact]
    public void Process_ArpOfAnotherKind_IsDropped()
    {
        AssertDropped(DropReason.EgressNotIp, Arp((ArpOperation)3, EgressLab.LocalV4, EgressLab.V4(2, 9)));
        AssertDropped(DropReason.EgressMalformed, Arp(ArpOperation.Request, EgressLab.LocalV4, EgressLab.V4(2, 9))[..^1]);
        AssertDropped(DropReason.EgressNoRoute, Arp(ArpOperation.Reply, EgressLab.LocalV4, EgressLab.V4(7, 9)));
    }

    [Fact]
    public void Process_ArpReplyToAPeer_IsForwardedToIt()
    {
        byte[] reply = Arp(ArpOperation.Reply, EgressLab.LocalV4, EgressLab.V4(3, 0));
        EgressLab lab = Run(reply);
        Assert.Same(lab.C, Assert.Single(lab.Underlay.Sent).Train.Peer);
        byte[] sent = Assert.Single(lab.InnerFramesSent);
        Assert.Equal(lab.C.Mac, new MacAddress(sent));
        Assert.Equal(reply[12..], sent[12..]);
    }

    [Fact]
    public void Process_SolicitationForARoutedTarget_IsAnsweredWithTheGateway()
    {
        foreach (UInt128 target in new[] { EgressLab.V6(2, 9), RoutedGateway.AddressV6 })
        {
            EgressLab lab = Run(Solicitation(AskerV6, target));
            byte[] answer = Assert.Single(lab.Device.Written).Bytes;
            Assert.Equal(Asker, new MacAddress(answer));
            Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(answer.AsSpan(14), out Ipv6Packet ip));
            Assert.Equal((target, AskerV6, (byte)255), (ip.Source, ip.Destination, ip.HopLimit));
            Assert.Equal(WireStatus.Ok, Icmpv6Header.TryParse(ip.UpperPayload, out Icmpv6Header icmp));
            Assert.True(icmp.IsChecksumValid(ip.Addresses));
            Assert.Equal(WireStatus.Ok, NeighborMessage.TryParse(ip.UpperPayload, out NeighborMessage message));
            Assert.False(message.IsSolicitation);
            Assert.Equal(target, message.Target);
            Assert.Equal(RoutedGateway.Mac, message.LinkLayerAddress);
            Assert.True(message.Flags.HasFlag(NeighborFlags.Solicited));
            Assert.Equal(1, lab.Counters.EgressAnswered);
        }
    }

    [Fact]
    public void Process_SolicitationThatMustNotBeAnswered_IsDropped()
    {
        AssertDropped(DropReason.EgressAddressProbe, Solicitation(UInt128.Zero, EgressLab.V6(2, 9)));
        AssertDropped(DropReason.EgressNoRoute, Solicitation(AskerV6, EgressLab.V6(7, 9)));
        byte[] forwarded = Solicitation(AskerV6, EgressLab.V6(2, 9));
        forwarded[21] = 254;
        AssertDropped(DropReason.EgressMalformed, forwarded);
        byte[] corrupt = Solicitation(AskerV6, EgressLab.V6(2, 9));
        corrupt[^1] ^= 1;
        AssertDropped(DropReason.EgressMalformed, corrupt);
    }

    [Fact]
    public void Process_MoreRequestsThanAnswersFit_DropsTheRest()
    {
        var lab = new EgressLab(frameCapacity: 100);
        for (int i = 0; i < 100; i++) lab.Deliver(Arp(ArpOperation.Request, EgressLab.LocalV4, EgressLab.V4(2, i)));
        lab.Run();
        Assert.Equal(64, lab.Device.Written.Count);
        Assert.Equal((100, 64), (lab.Counters.EgressIn.Packets, lab.Counters.EgressAnswered));
        Assert.Equal(36, lab.Counters.Drops[(int)DropReason.EgressQueueFull]);
    }

    private static EgressLab Run(byte[] frame)
    {
        var lab = new EgressLab();
        lab.Deliver(frame);
        lab.Run();
        return lab;
    }

    private static void AssertDropped(DropReason reason, byte[] frame)
    {
        EgressLab lab = Run(frame);
        Assert.Equal(1, lab.Counters.Drops[(int)reason]);
        Assert.Equal((1, 1, 0), (lab.Counters.EgressIn.Packets, lab.EgressDrops, lab.Counters.EgressAnswered));
        Assert.Empty(lab.Device.Written);
        Assert.Empty(lab.Underlay.Sent);
    }

    private static byte[] Arp(ArpOperation operation, uint sender, uint target)
    {
        byte[] frame = new byte[42];
        EthernetFrame.WriteHeader(frame, MacAddress.Broadcast, Asker, EtherTypes.Arp);
        ArpPacket.Write(frame.AsSpan(14), operation, Asker, sender, default, target);
        return frame;
    }

    private static byte[] Solicitation(UInt128 source, UInt128 target)
    {
        byte[] frame = new byte[14 + 40 + 32];
        UInt128 destination = new(0xff02_0000_0000_0000, 0x0000_0001_ff00_0000 | (ulong)(uint)target & 0xffffff);
        EthernetFrame.WriteHeader(frame, new MacAddress([0x33, 0x33, 0xff, 0, 0, 9]), Asker, EtherTypes.Ipv6);
        int length = NeighborMessage.WriteSolicitation(frame.AsSpan(54), source, destination, target, source == 0 ? null : Asker);
        Ipv6Packet.WriteHeader(frame.AsSpan(14), new Ipv6Fields
        {
            PayloadLength = length,
            NextHeader = IpProtocols.Icmpv6,
            HopLimit = 255,
            Source = source,
            Destination = destination,
        });
        return frame[..(54 + length)];
    }
}
