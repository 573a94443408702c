using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

/// <summary>Routes that name no peer: what their packets are counted as, and what their senders are told.</summary>
public sealed class UnroutableTests
{
    /// <summary>Null for no route at all; type and code of the error in each family, or none.</summary>
    public static TheoryData<RouteAction?, DropReason, int, int> Refusals => new()
    {
        { null, DropReason.EgressNoRoute, 0x0300, 0x0100 },
        { RouteAction.Local, DropReason.EgressRouteLocal, 0x0301, 0x0103 },
        { RouteAction.Blackhole, DropReason.EgressRouteBlackhole, -1, -1 },
        { RouteAction.Unreachable, DropReason.EgressRouteUnreachable, 0x0301, 0x0103 },
        { RouteAction.Prohibit, DropReason.EgressRouteProhibited, 0x030d, 0x0101 },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void Process_RouteWithoutPeer_IsCountedAndTheSenderIsTold(RouteAction? action, DropReason reason, int errorV4, int errorV6)
    {
        foreach (bool ipv6 in new[] { false, true })
        {
            EgressLab lab = Lab(action);
            InnerFrame frame = Frame(ipv6);
            lab.Deliver(frame.Finished());
            lab.Run();

            AssertCounted(lab, reason, packets: 1);
            AssertTold(lab, frame, ipv6 ? errorV6 : errorV4);
        }
    }

    [Theory]
    [MemberData(nameof(Refusals))]
    public void Process_SuperPacketWithoutPeer_CountsEverySegmentAndTellsOnce(RouteAction? action, DropReason reason, int errorV4, int errorV6)
    {
        foreach (bool ipv6 in new[] { false, true })
        {
            EgressLab lab = Lab(action);
            InnerFrame frame = Frame(ipv6) with { Payload = new byte[10_000] };
            lab.Deliver(frame.Unfinished(), frame.Offload(1000));
            lab.Run();

            AssertCounted(lab, reason, packets: 10);
            AssertTold(lab, frame, ipv6 ? errorV6 : errorV4);
        }
    }

    private static EgressLab Lab(RouteAction? action)
    {
        RouteTable routes = action is not { } wanted ? new RouteTable([])
            : new RouteTable([new(IpBits.Mapped(EgressLab.V4(7, 0)), 24, new RouteTarget(wanted).Value), new(EgressLab.V6(7, 0), 64, new RouteTarget(wanted).Value)]);
        return new EgressLab(segment: peers => new Segment(0, "pods", EgressLab.Vni, new MacAddress([2, 0, 0, 0, 0, 1]), 1450, routes, peers, TunnelFormat.Vxlan));
    }

    private static InnerFrame Frame(bool ipv6) => new()
    {
        IsIpv6 = ipv6,
        Source = ipv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
        Destination = ipv6 ? EgressLab.V6(7, 9) : EgressLab.V4(7, 9),
        Payload = [1, 2, 3],
    };

    private static void AssertCounted(EgressLab lab, DropReason reason, int packets)
    {
        Assert.Equal(packets, lab.Counters.Drops[(int)reason]);
        Assert.Equal((packets, packets), (lab.Counters.EgressIn.Packets, lab.EgressDrops));
        Assert.Empty(lab.Underlay.Sent);
    }

    /// <param name="error">Type above code; negative: nobody is told.</param>
    private static void AssertTold(EgressLab lab, InnerFrame about, int error)
    {
        Assert.Equal(error < 0 ? 0 : 1, lab.Counters.IcmpErrors);
        if (error < 0)
        {
            Assert.Empty(lab.Device.Written);
            return;
        }
        ReadOnlySpan<byte> ip = Assert.Single(lab.Device.Written).Bytes.AsSpan(EthernetFrame.MinHeaderLength);
        if (about.IsIpv6)
        {
            Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(ip, out Ipv6Packet packet));
            Assert.Equal((about.Destination, about.Source), (packet.Source, packet.Destination));
            Assert.Equal(WireStatus.Ok, Icmpv6Header.TryParse(packet.UpperPayload, out Icmpv6Header icmp));
            Assert.Equal((error >> 8, error & 0xff), (icmp.Type, icmp.Code));
            Assert.True(icmp.IsChecksumValid(packet.Addresses));
            return;
        }
        Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(ip, out Ipv4Packet v4));
        Assert.Equal(((uint)about.Destination, (uint)about.Source), (v4.Source, v4.Destination));
        Assert.Equal(WireStatus.Ok, Icmpv4Header.TryParse(v4.Payload, out Icmpv4Header v4Icmp));
        Assert.Equal((error >> 8, error & 0xff), (v4Icmp.Type, v4Icmp.Code));
    }
}
