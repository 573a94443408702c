using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Ingress;

public sealed class PathMessageTests
{
    private const ulong Token = 0x0123_4567_89ab_cdef;

    public static TheoryData<Encapsulation, bool, int> Probes
    {
        get
        {
            var rows = new TheoryData<Encapsulation, bool, int>();
            foreach (int size in (int[])[576, 1500, 9000, 65_535])
            {
                rows.Add(Encapsulation.Vxlan, false, size);
                rows.Add(Encapsulation.Vxlan, true, size);
                rows.Add(Encapsulation.Geneve, false, size);
                rows.Add(Encapsulation.Geneve, true, size);
            }
            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(Probes))]
    public void Process_Probe_IsHandedOnWithItsSizeAndCountedNowhere(Encapsulation encapsulation, bool ipv6, int outerSize)
    {
        var node = new IngressNode(new MacAddress(PlainPacket.DeviceMac), new TunnelFormat { Encapsulation = encapsulation });
        byte[] probe = Build(node, PathMessageKind.Probe, outerSize, ipv6);
        int outer = (ipv6 ? Ipv6Packet.HeaderLength : Ipv4Packet.MinHeaderLength) + UdpHeader.HeaderLength;
        Assert.Equal(outerSize - outer, probe.Length);

        node.Underlay.Deliver(ipv6 ? IngressNode.PeerV6 : IngressNode.PeerV4, probe, encapsulation: encapsulation);
        node.Run();

        Assert.True(node.Paths.TryTake(out ReceivedPathMessage message));
        Assert.Equal(
            new ReceivedPathMessage(node.Peers[ipv6 ? 1 : 0], node.Snapshot.Segments[0], PathMessageKind.Probe, probe.Length, probe.Length, Token), message);
        Assert.Equal(1, node.Wakes);
        Assert.False(node.Paths.TryTake(out _));
        Assert.Empty(node.Device.Written);
        Assert.Equal(0, node.Counters.IngressIn.Packets + node.Unassigned.IngressIn.Packets);
    }

    [Fact]
    public void Process_ProbeAmongPackets_DisturbsThemNot()
    {
        var node = new IngressNode();
        byte[] packet = new PlainPacket { Payload = new byte[100] }.Build();
        node.DeliverSingly(packet);
        node.Underlay.Deliver(IngressNode.PeerV4, Build(node, PathMessageKind.Answer, 0, ipv6: false));
        node.DeliverSingly(packet);
        node.Run();

        Assert.Equal(2, node.Counters.IngressOut.Packets);
        Assert.True(node.Paths.TryTake(out ReceivedPathMessage message));
        Assert.Equal(PathMessageKind.Answer, message.Kind);
        node.AssertConserved();
    }

    [Fact]
    public void Process_FromAStranger_IsDropped()
    {
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.Stranger, Build(node, PathMessageKind.Probe, 1500, ipv6: false));
        node.Run();

        Assert.False(node.Paths.TryTake(out _));
        Assert.Equal(1, node.Unassigned.Drops[(int)DropReason.IngressUnknownPeer]);
    }

    [Fact]
    public void Process_MoreThanCanBeTaken_IsDroppedAndCounted()
    {
        var node = new IngressNode();
        byte[] probe = Build(node, PathMessageKind.Probe, 600, ipv6: false);
        for (int i = 0; i < 600; i++) node.Underlay.Deliver(IngressNode.PeerV4, probe);
        node.Run();

        int taken = 0;
        while (node.Paths.TryTake(out _)) taken++;
        Assert.Equal(600 - taken, node.Counters.Drops[(int)DropReason.IngressControl]);
        Assert.InRange(taken, 1, 599);
        node.AssertConserved();
    }

    [Fact]
    public void Process_SameEtherTypeOfSomethingElse_GoesToTheDevice()
    {
        var node = new IngressNode();
        byte[] probe = Build(node, PathMessageKind.Probe, 600, ipv6: false);
        PlainPacket.DeviceMac.CopyTo(probe, VxlanHeader.Length);
        probe[VxlanHeader.Length + EthernetFrame.MinHeaderLength] ^= 1;
        node.Underlay.Deliver(IngressNode.PeerV4, probe);
        node.Run();

        Assert.False(node.Paths.TryTake(out _));
        Assert.Single(node.Device.Written);
    }

    [Theory]
    [InlineData(1410, 1500)]
    [InlineData(1310, 1400)]
    public void Process_SynOfAPeer_ItsMssIsNotedAsTheOuterSize(int mss, int expected)
    {
        var node = new IngressNode();
        for (int i = 0; i < 3; i++)
        {
            node.DeliverSingly(new PlainPacket { Flags = (byte)TcpFlags.Syn, TcpOptions = [2, 4, (byte)(mss >> 8), (byte)mss] }.Build());
        }
        node.Run();
        Assert.Equal((expected, 3), node.Peers[0].Path.TakeOffers());
        Assert.Equal((0, 0), node.Peers[0].Path.TakeOffers());
    }

    /// <summary>Without a port or a control bit, only its source tells a message of the peer's from a packet that crosses the tunnel.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Process_IpInIpMessage_IsThePeersOnlyFromItsOwnEnd(bool isFromItsEnd)
    {
        var node = new IngressNode(new MacAddress(PlainPacket.DeviceMac), new TunnelFormat { Encapsulation = Encapsulation.IpInIp });
        UInt128 source = isFromItsEnd ? IngressNode.PeerV4.Address : IpBits.Mapped(0x0a_00_00_05);
        byte[] probe = Build(node, PathMessageKind.Probe, 600, ipv6: false, source);
        node.Underlay.DeliverIpInIp(IngressNode.PeerV4, probe, IpProtocols.Ipv4InIp);
        node.Run();

        Assert.Equal((isFromItsEnd, isFromItsEnd ? 0 : 1), (node.Paths.TryTake(out _), node.Device.Written.Count));
    }

    private static byte[] Build(IngressNode node, PathMessageKind kind, int outerSize, bool ipv6, UInt128 local = default)
    {
        var frames = new PathFrames(new SendBatch(4, 8), trafficClass: 0);
        Peer peer = node.Peers[ipv6 ? 1 : 0];
        Assert.True(frames.TryAdd(peer, node.Snapshot.Segments[0], local, kind, outerSize, echo: 1, Token, sourcePort: 0));
        var sent = new MemoryUnderlay();
        sent.Send(frames.Batch);
        return Assert.Single(sent.Sent).Bytes;
    }
}
