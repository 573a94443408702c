using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Bridging;

/// <summary>Frames that do not fit the way to a peer: the first of three carries 1350 bytes of IP, the others 1450.</summary>
public sealed class BridgedMtuTests
{
    private const int Narrow = 1350;
    private const int Wide = 1450;

    private static readonly MacAddress Host = BridgeFrames.Host(1);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Send_TooBigForItsPeer_IsAnsweredInTheNameOfItsDestination(bool ipv6)
    {
        BridgeLab lab = Lab(new TunnelFormat { KeepsVlanTags = true });
        MacAddress far = BridgeFrames.Host(2);
        lab.FromPeer(0, BridgeFrames.Plain(Host, far));
        lab.Device.Written.Clear();
        var tag = new VlanTag(EtherTypes.Vlan, 7);

        lab.FromDevice(BridgeFrames.Udp(far, Host, ipv6, Narrow));
        Assert.Single(lab.Sent);
        byte[] tooBig = BridgeFrames.Udp(far, Host, ipv6, Narrow + 1);
        lab.FromDevice(tooBig);
        byte[] plain = Assert.Single(lab.Device.Written).Bytes;
        lab.FromDevice(BridgeFrames.Udp(far, Host, ipv6, Narrow - 4 + 1, tags: tag));
        byte[] tagged = lab.Device.Written[1].Bytes;

        Assert.Single(lab.Sent);
        Assert.Equal((2, 2), (lab.Drops(DropReason.EgressTooBig), lab.Counters.IcmpErrors));
        AssertTooBig(plain, ipv6, far, tags: 0, Narrow);
        AssertTooBig(tagged, ipv6, far, tags: 1, Narrow - 4);
        lab.CheckBalance();
    }

    [Fact]
    public void Send_TooBigThatMayBeFragmented_IsDroppedAndNobodyTold()
    {
        BridgeLab lab = Lab(TunnelFormat.Vxlan);
        lab.FromPeer(0, BridgeFrames.Plain(Host, BridgeFrames.Host(2)));
        lab.Device.Written.Clear();

        lab.FromDevice(BridgeFrames.Udp(BridgeFrames.Host(2), Host, ipv6: false, Narrow + 1, dontFragment: false));

        Assert.Equal(1, lab.Drops(DropReason.EgressTooBig));
        Assert.Empty(lab.Device.Written);
        Assert.Empty(lab.Underlay.Sent);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Send_ToAllAndTooBigForOne_ReachesTheOthers(bool unknownUnicast)
    {
        BridgeLab lab = Lab(TunnelFormat.Vxlan);
        byte[] frame = BridgeFrames.Udp(unknownUnicast ? BridgeFrames.Host(9) : MacAddress.Broadcast, Host, ipv6: false, Wide);

        lab.FromDevice(frame);

        Assert.Equal([1, 2], lab.Sent.Select(sent => sent.Peer).Order());
        Assert.All(lab.Sent, sent => Assert.Equal(frame, sent.Frame));
        Assert.Equal(1, lab.Drops(DropReason.EgressTooBig));
        Assert.Empty(lab.Device.Written);
        lab.CheckBalance();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Send_SuperPacketTooBig_IsDroppedWholeAndItsSenderTold(bool ipv6)
    {
        BridgeLab lab = Lab(TunnelFormat.Vxlan);
        lab.FromPeer(0, BridgeFrames.Plain(Host, BridgeFrames.Host(2)));
        lab.Device.Written.Clear();
        InnerFrame super = Super(ipv6);
        byte[] frame = BridgeFrames.Addressed(super.Unfinished(), BridgeFrames.Host(2), Host);
        int headers = super.HeaderLength - 14;

        lab.FromDevice([.. frame], super.Offload(Narrow - headers));
        int whole = lab.Sent.Count();
        Assert.All(lab.Sent, sent => Assert.InRange(sent.Frame.Length, 1, Narrow + 14));
        lab.Underlay.Sent.Clear();
        lab.FromDevice([.. frame], super.Offload(Narrow - headers + 1));

        Assert.Equal((20_000 + Narrow - headers - 1) / (Narrow - headers), whole);
        Assert.Empty(lab.Underlay.Sent);
        AssertTooBig(Assert.Single(lab.Device.Written).Bytes, ipv6, BridgeFrames.Host(2), tags: 0, Narrow);
        lab.CheckBalance();
    }

    [Fact]
    public void Send_SuperPacketToAllAndTooBigForOne_ReachesTheOthers()
    {
        BridgeLab lab = Lab(TunnelFormat.Vxlan);
        InnerFrame super = Super(ipv6: false);
        int size = Wide - super.HeaderLength + 14;

        lab.FromDevice(BridgeFrames.Addressed(super.Unfinished(), BridgeFrames.Host(9), Host), super.Offload(size));

        int segments = (20_000 + size - 1) / size;
        Assert.Equal([(1, segments), (2, segments)], lab.Sent.GroupBy(sent => sent.Peer).Select(peer => (peer.Key, peer.Count())).Order());
        Assert.Equal(segments, lab.Drops(DropReason.EgressTooBig));
        lab.CheckBalance();
    }

    [Fact]
    public void Send_Ipv6OfTheLeastMtu_LeavesAndMayBeFragmentedOutside()
    {
        BridgeLab lab = Lab(TunnelFormat.Vxlan);
        lab.Peers[0].Path.LinkMtu = 1300;
        lab.FromPeer(0, BridgeFrames.Plain(Host, BridgeFrames.Host(2)));

        lab.FromDevice(BridgeFrames.Udp(BridgeFrames.Host(2), Host, ipv6: true, 1280));

        Assert.True(Assert.Single(lab.Underlay.Sent).Train.MayFragment);
        Assert.Equal(0, lab.Drops(DropReason.EgressTooBig));
    }

    private static BridgeLab Lab(TunnelFormat format)
    {
        var lab = new BridgeLab(new BridgeLabOptions { Format = format });
        lab.Peers[0].Path.LinkMtu = Narrow + 50;
        lab.Peers[1].Path.LinkMtu = Wide + 50;
        lab.Peers[2].Path.LinkMtu = Wide + 70;
        return lab;
    }

    private static InnerFrame Super(bool ipv6) => new()
    {
        IsIpv6 = ipv6,
        Source = ipv6 ? EgressLab.V6(9, 1) : EgressLab.V4(9, 1),
        Destination = ipv6 ? EgressLab.V6(9, 2) : EgressLab.V4(9, 2),
        Payload = new byte[20_000],
    };

    private static void AssertTooBig(byte[] answer, bool ipv6, MacAddress far, int tags, int mtu)
    {
        Assert.Equal(WireStatus.Ok, EthernetFrame.TryParse(answer, out EthernetFrame ethernet));
        Assert.Equal((Host, far, tags), (ethernet.Destination, ethernet.Source, ethernet.VlanTagCount));
        if (ipv6)
        {
            Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(ethernet.Payload, out Ipv6Packet packet));
            Assert.Equal((EgressLab.V6(9, 2), EgressLab.V6(9, 1)), (packet.Source, packet.Destination));
            Assert.Equal(WireStatus.Ok, Icmpv6Header.TryParse(packet.UpperPayload, out Icmpv6Header icmp6));
            Assert.Equal((Icmpv6Types.PacketTooBig, (uint)mtu), (icmp6.Type, icmp6.RestOfHeader));
            Assert.True(icmp6.IsChecksumValid(packet.Addresses));
            return;
        }
        Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(ethernet.Payload, out Ipv4Packet packet4));
        Assert.Equal((EgressLab.V4(9, 2), EgressLab.V4(9, 1)), (packet4.Source, packet4.Destination));
        Assert.Equal(WireStatus.Ok, Icmpv4Header.TryParse(packet4.Payload, out Icmpv4Header icmp));
        Assert.Equal((Icmpv4Types.FragmentationNeeded, (uint)mtu), (icmp.Code, icmp.RestOfHeader));
        Assert.True(icmp.IsChecksumValid);
    }
}
