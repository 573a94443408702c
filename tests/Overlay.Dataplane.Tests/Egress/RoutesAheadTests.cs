using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

/// <summary>Packets through a table so large that their routes are looked up before they are taken.</summary>
public sealed class RoutesAheadTests
{
    private const int Prefixes = 20_000;

    [Fact]
    public void Process_LargeTable_SendsEveryPacketWhereItIsRouted() => Seeded.Check(3, random =>
    {
        // 10.0.0.0/8 and 2a00::/16 in small prefixes, some of them to nobody.
        var v4 = new int[Prefixes];
        var v6 = new int[Prefixes];
        for (int i = 0; i < Prefixes; i++) (v4[i], v6[i]) = (random.Next(4), random.Next(4));
        var routes = new RouteTable(Enumerable.Range(0, Prefixes).SelectMany(i => new[]
        {
            new RoutePrefix(IpBits.Mapped(0x0a000000 | (uint)i << 8), 24, Value(v4[i])),
            new RoutePrefix(new UInt128(0x2a00000000000000 | (ulong)i << 32, 0), 32, Value(v6[i])),
        }));
        var lab = new EgressLab(segment: peers => new Segment(0, "pods", EgressLab.Vni, new MacAddress([2, 0, 0, 0, 0, 1]), 1450, routes, peers, TunnelFormat.Vxlan));
        var expected = new List<string>();
        int dropped = 0;
        for (int frame = 0; frame < 1_000; frame++)
        {
            int at = random.Next(Prefixes);
            bool isIpv4 = random.Next(2) == 0;
            var packet = new InnerFrame
            {
                IsIpv6 = !isIpv4,
                Source = isIpv4 ? EgressLab.LocalV4 : EgressLab.LocalV6,
                Destination = isIpv4 ? 0x0a000000 | (uint)at << 8 | (uint)random.Next(256) : new UInt128(0x2a00000000000000 | (ulong)at << 32, 9),
                Payload = new byte[random.Next(100)],
                Tags = random.Next(8) == 0 ? [new VlanTag(EtherTypes.Vlan, 5)] : [],
            };
            byte[] bytes = packet.Finished();
            if (random.Next(16) == 0)
            {
                // Half a packet, which is malformed.
                lab.Deliver(bytes[..30]);
                dropped++;
                continue;
            }
            lab.Deliver(bytes);
            int value = isIpv4 ? v4[at] : v6[at];
            if (value == 3) dropped++;
            else expected.Add($"{lab.Segment.Peers[value].Name} {packet.Destination:x}");
        }
        lab.Run();
        Assert.Equal(dropped, lab.EgressDrops);
        Assert.Equal(expected.Order(StringComparer.Ordinal), Sent(lab).Order(StringComparer.Ordinal));
    });

    /// <summary>Peer and inner destination of every packet that left.</summary>
    private static IEnumerable<string> Sent(EgressLab lab) =>
        from train in lab.Underlay.Sent from datagram in train.Datagrams select $"{train.Train.Peer.Name} {Destination(datagram[lab.Segment.HeaderLength..]):x}";

    private static UInt128 Destination(byte[] frame)
    {
        Assert.Equal(WireStatus.Ok, InnerPacket.TryParse(frame, out InnerPacket packet));
        return packet.IsIpv4 ? packet.DestinationV4 : packet.DestinationV6;
    }

    private static int Value(int target) => target == 3 ? new RouteTarget(RouteAction.Blackhole).Value : target;
}
