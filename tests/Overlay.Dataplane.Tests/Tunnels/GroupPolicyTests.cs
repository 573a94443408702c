using System.Buffers.Binary;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Tests.Bridging;
using Overlay.Dataplane.Tests.Ingress;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Tunnels;

/// <summary>VXLAN's group policy of each packet, which is its mark on the host; octets are those of draft-smith-vxlan-group-policy, 2.1.</summary>
public sealed class GroupPolicyTests
{
    private const int FirstMarkOctet = 9;

    private static readonly TunnelFormat Marked = new() { MarksGroupPolicy = true };

    [Theory]
    [InlineData(0u, 0x08_00_00_00u)]
    [InlineData(513u, 0x88_00_02_01u)]
    [InlineData(0x48_ffffu, 0x88_48_ff_ffu)]
    [InlineData(0xff_1234u, 0x88_48_12_34u)]
    [InlineData(0xb7_0000u, 0x08_00_00_00u)]
    public void Egress_PacketWithAMark_LeavesWithItInTheHeader(uint mark, uint header)
    {
        var lab = new EgressLab(format: Marked);
        lab.B.Path.LinkMtu = 1400;
        InnerFrame frame = Frame();
        InnerFrame super = frame with { Payload = new byte[3000] };
        InnerFrame large = frame with { IsUdp = true, Payload = new byte[2000] };
        byte[] fragmented = large.Finished();
        fragmented[20] &= 0xbf;
        ClearIpChecksum(fragmented);
        lab.Deliver(WithMark(frame.Unfinished(), mark), frame.Offload(0));
        lab.Deliver(WithMark(super.Unfinished(), mark), super.Offload(1000));
        lab.Deliver(WithMark(fragmented, mark));
        lab.Run();

        byte[][] sent = [.. lab.Underlay.Sent.SelectMany(train => train.Datagrams)];
        Assert.Equal(6, sent.Length);
        Assert.All(sent, datagram => Assert.Equal(header, BinaryPrimitives.ReadUInt32BigEndian(datagram)));
        // Nothing of the mark is inside.
        Assert.All(sent, datagram => Assert.Equal([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], datagram[8..20]));
    }

    [Fact]
    public void Egress_PacketsThatTheKernelDidNotMark_LeaveWithoutGroupPolicy()
    {
        var lab = new EgressLab(format: Marked);
        lab.Deliver(Frame().Finished());
        lab.Run();

        Assert.Equal([8, 0, 0, 0, 0, 0, 42, 0], Assert.Single(lab.Underlay.Sent).Bytes[..8]);
    }

    [Fact]
    public void Egress_ErrorAboutAPacketWithAMark_GoesToTheDevice()
    {
        var lab = new EgressLab(format: Marked);
        InnerFrame prohibited = Frame() with { Destination = EgressLab.V4(8, 1) };
        lab.Deliver(WithMark(prohibited.Finished(), 513));
        lab.Run();

        Assert.Equal(1, lab.Counters.IcmpErrors);
        Assert.Equal(lab.Segment.DeviceMac, new MacAddress(Assert.Single(lab.Device.Written).Bytes));
    }

    [Theory]
    [InlineData(0x88, 0x00_02_01u, 0x00_0201u)]
    [InlineData(0x88, 0xff_ff_ffu, 0x48_ffffu)]
    [InlineData(0x08, 0x00_02_01u, 0u)]
    public void Ingress_GroupPolicy_IsInTheSourceForTheKernel(byte flags, uint received, uint mark)
    {
        var node = new IngressNode(new MacAddress(PlainPacket.DeviceMac), Marked);
        byte[] inner = new PlainPacket { Payload = [1] }.Build();
        node.Underlay.Deliver(IngressNode.PeerV4, Datagram(inner, flags, received));
        node.Run();

        byte[] written = Assert.Single(node.Device.Written).Bytes;
        Assert.Equal([0x02, 0x47, 0x50, (byte)(mark >> 16), (byte)(mark >> 8), (byte)mark], written[6..12]);
        Assert.Equal(inner[12..], written[12..]);
    }

    [Fact]
    public void Ingress_PacketsOfAFlowWithDifferentPolicies_AreNotJoined()
    {
        var node = new IngressNode(new MacAddress(PlainPacket.DeviceMac), Marked);
        PlainPacket first = new() { Payload = new byte[100] };
        PlainPacket second = first.Next(new byte[100]), third = second.Next(new byte[100]);
        node.Underlay.Deliver(IngressNode.PeerV4, Datagram(first.Build(), 0x88, 1));
        node.Underlay.Deliver(IngressNode.PeerV4, Datagram(second.Build(), 0x88, 1));
        node.Underlay.Deliver(IngressNode.PeerV4, Datagram(third.Build(), 0x88, 2));
        node.Run();

        Assert.Equal([(2, 1), (1, 2)], node.Device.Written.Select(each => ((each.Bytes.Length - first.HeadersLength) / 100, (int)each.Bytes[11])));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Ingress_WithoutTheExtension_LeavesTheSourceAsItIs(bool sendsOne)
    {
        var node = new IngressNode(new MacAddress(PlainPacket.DeviceMac), sendsOne ? new TunnelFormat { GroupPolicy = 7 } : TunnelFormat.Vxlan);
        byte[] inner = new PlainPacket { Payload = [1] }.Build();
        node.Underlay.Deliver(IngressNode.PeerV4, Datagram(inner, 0x88, 513));
        node.Run();

        Assert.Equal(inner, Assert.Single(node.Device.Written).Bytes);
    }

    [Theory]
    [InlineData(true, 0xc8, true)]
    [InlineData(true, 0x88, false)]
    [InlineData(false, 0xc8, true)]
    public void Bridge_DontLearn_IsObeyedWhereTheExtensionIsOn(bool isOn, byte flags, bool isMarked)
    {
        // 0xc8: a reserved bit beside G and I; D is in the octet that follows.
        var lab = new BridgeLab(new BridgeLabOptions
        {
            Format = isOn ? new TunnelFormat { GroupPolicy = 7 } : TunnelFormat.Vxlan,
            Fixed = [(BridgeFrames.Host(9), 1)],
        });
        byte[] asks = BridgeFrames.Plain(MacAddress.Broadcast, BridgeFrames.Host(1));
        byte[] spoofed = BridgeFrames.Plain(MacAddress.Broadcast, BridgeFrames.Host(9));
        foreach (byte[] frame in new[] { asks, spoofed })
            lab.Underlay.Deliver(lab.Peers[0].Endpoint, Datagram(frame, flags, isMarked ? 0x40_0007u : 7));
        lab.RunIngress();

        Assert.Single(lab.Device.Written);
        Assert.Equal(1, lab.Drops(DropReason.IngressSpoofedMac));
        Assert.Equal(isOn && isMarked ? 0 : 1, lab.Bridge.ListLearned().Count);
    }

    private static InnerFrame Frame() => new()
    {
        Source = EgressLab.V4(1, 5),
        Destination = EgressLab.V4(2, 7),
        Payload = new byte[64],
    };

    private static byte[] WithMark(byte[] frame, uint mark)
    {
        new byte[] { 0x02, 0x47, 0x50, (byte)(mark >> 16), (byte)(mark >> 8), (byte)mark }.CopyTo(frame, FirstMarkOctet - 3);
        return frame;
    }

    private static byte[] Datagram(byte[] inner, byte flags, uint policy)
    {
        byte[] datagram = IngressNode.Tunnel(inner, flags: flags);
        datagram[1] = (byte)(policy >> 16);
        BinaryPrimitives.WriteUInt16BigEndian(datagram.AsSpan(2), (ushort)policy);
        return datagram;
    }

    private static void ClearIpChecksum(byte[] frame)
    {
        frame.AsSpan(24, 2).Clear();
        InternetChecksum.Store(frame.AsSpan(24), InternetChecksum.Finish(InternetChecksum.Add(frame.AsSpan(14, 20))));
    }
}
