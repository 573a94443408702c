using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests;

/// <summary>What is not forwarded is counted by reason, once a packet.</summary>
public sealed class DropTests(DaemonPair<UdpGso> pair) : IClassFixture<DaemonPair<UdpGso>>
{
    private const int Count = 25;
    private const string Stranger = "192.0.2.77";

    [Fact]
    public async Task Receive_UnknownVni_IsDroppedAndCounted() =>
        await ExpectAsync("ingress-unknown-segment", pair.B.Underlay, VxlanInjector.Datagram(99, pair.A.Mac, pair.B.Mac));

    [Fact]
    public async Task Receive_UnknownPeer_IsDroppedAndCounted()
    {
        await pair.B.Host.IpAsync($"address replace {Stranger}/24 dev {LabNode.UnderlayDevice}");

        await ExpectAsync("ingress-unknown-peer", Stranger, VxlanInjector.Datagram(42, pair.A.Mac, pair.B.Mac));
    }

    [Fact]
    public async Task Receive_TruncatedHeader_IsDroppedAndCounted() =>
        await ExpectAsync("ingress-malformed", pair.B.Underlay, VxlanInjector.Datagram(42, pair.A.Mac, pair.B.Mac)[..7]);

    [Fact]
    public async Task Receive_NoFlagI_IsDroppedAndCounted()
    {
        byte[] datagram = VxlanInjector.Datagram(42, pair.A.Mac, pair.B.Mac);
        datagram[0] = 0;

        await ExpectAsync("ingress-malformed", pair.B.Underlay, datagram);
    }

    [Fact]
    public async Task Receive_InnerPacketCutShort_IsDroppedAndCounted() =>
        await ExpectAsync("ingress-inner-malformed", pair.B.Underlay, VxlanInjector.Datagram(42, pair.A.Mac, pair.B.Mac)[..^1]);

    [Fact]
    public async Task Receive_InnerVlanTag_IsDroppedAndCounted() =>
        await ExpectAsync("ingress-inner-vlan", pair.B.Underlay, VxlanInjector.Datagram(42, pair.A.Mac, pair.B.Mac, tagged: true));

    [Fact]
    public async Task Receive_InnerMacOfAnother_IsDroppedAndCounted() =>
        await ExpectAsync("ingress-inner-mac", pair.B.Underlay, VxlanInjector.Datagram(42, "02:00:00:00:00:63", pair.B.Mac));

    [Fact]
    public async Task Receive_ReservedBitsSet_AreIgnored()
    {
        byte[] datagram = VxlanInjector.Datagram(42, pair.A.Mac, pair.B.Mac);
        datagram[0] |= 0x77;
        datagram[7] = 0xff;
        StatusDocument before = await StatusFigures.AtRestAsync(pair.DaemonA);

        await VxlanInjector.SendAsync(pair.B.Host, pair.B.Underlay, pair.A, 4789, datagram, Count);
        StatusDocument after = await StatusFigures.AtRestAsync(
            pair.DaemonA, status => Delivered(status) - Delivered(before) >= Count);

        Assert.Equal(Count, Delivered(after) - Delivered(before));
        Assert.Equal(Dropped(before), Dropped(after));
    }

    [Fact]
    public async Task Send_DestinationWithoutRoute_IsDroppedAndCounted()
    {
        await pair.A.Host.IpAsync(
            "neighbour replace 198.51.100.1 lladdr 02:00:00:00:00:63 dev overlay0 nud permanent",
            "route replace 198.51.100.1/32 dev overlay0");

        PingResult ping = await Ping.FloodAsync(pair.A.Host, "198.51.100.1", Count);
        StatusDocument after = await StatusFigures.AtRestAsync(
            pair.DaemonA, status => StatusFigures.Drops(status, "egress-no-route") >= Count);

        Assert.Equal(0, ping.Received);
        Assert.Equal(Count, StatusFigures.Drops(after, "egress-no-route"));
    }

    private async Task ExpectAsync(string reason, string source, byte[] datagram)
    {
        StatusDocument before = await StatusFigures.AtRestAsync(pair.DaemonA);

        await VxlanInjector.SendAsync(pair.B.Host, source, pair.A, 4789, datagram, Count);
        StatusDocument after = await StatusFigures.AtRestAsync(
            pair.DaemonA, status => StatusFigures.Drops(status, reason) - StatusFigures.Drops(before, reason) >= Count);

        Assert.Equal(Count, StatusFigures.Drops(after, reason) - StatusFigures.Drops(before, reason));
        Assert.Equal(Count, Dropped(after) - Dropped(before));
        Assert.Equal(Delivered(before), Delivered(after));
        Assert.Contains(reason, after.DropReasons.Keys);
    }

    private static long Dropped(StatusDocument status) => status.Queues.Sum(queue => StatusFigures.DropsOf(queue, "ingress-"));

    private static long Delivered(StatusDocument status) => status.Queues.Sum(queue => queue.IngressOut.Packets);
}
