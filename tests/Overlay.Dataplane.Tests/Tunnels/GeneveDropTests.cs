using System.Buffers.Binary;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Tests.Ingress;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Tunnels;

/// <summary>What RFC 8926 allows comes out, everything else is counted by its reason.</summary>
public sealed class GeneveDropTests
{
    private static readonly PlainPacket Good = new() { Payload = new byte[100] };
    private static readonly byte[] Unknown = [0x01, 0x02, 0x05, 1, 1, 2, 3, 4];
    private static readonly byte[] UnknownCritical = [0x01, 0x02, 0x85, 1, 1, 2, 3, 4];
    private static readonly byte[] KnownCritical = [0x01, 0x02, Formats.CriticalType, 0];

    [Fact]
    public void Process_ReservedBitsSet_AreIgnored()
    {
        byte[] datagram = Tunnel(Good.Build(), options: [0x01, 0x02, 0x05, 0xe0]);
        datagram[1] |= 0x3f;
        datagram[7] = 0xff;
        Assert.Equal(Good.Build(), Assert.Single(Run(datagram).Device.Written).Bytes);
    }

    [Theory]
    [InlineData(0x40)]
    [InlineData(0x80)]
    [InlineData(0xc0)]
    public void Process_OtherVersion_IsDropped(byte version)
    {
        byte[] datagram = Tunnel(Good.Build());
        datagram[0] |= version;
        AssertUnassigned(datagram, DropReason.IngressTunnelVersion);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    [InlineData(15)]
    public void Process_HeaderCutShort_IsMalformed(int length) =>
        AssertUnassigned(Tunnel(Good.Build(), options: Unknown)[..length], DropReason.IngressMalformed);

    [Theory]
    [InlineData(2)]
    [InlineData(31)]
    public void Process_OptionPastTheHeader_IsDropped(byte words)
    {
        byte[] datagram = Tunnel(Good.Build(), options: Unknown);
        datagram[11] = words;
        AssertUnassigned(datagram, DropReason.IngressTunnelOptions);
    }

    [Fact]
    public void Process_ControlPacket_IsNeverForwarded()
    {
        byte[] datagram = Tunnel(Good.Build());
        datagram[1] |= 0x80;
        AssertUnassigned(datagram, DropReason.IngressControl);
    }

    [Theory]
    [InlineData(0x0000)]
    [InlineData(0x8847)]
    [InlineData(0x0806)]
    public void Process_PayloadNeitherEthernetNorIp_IsDropped(ushort type) =>
        AssertUnassigned(Tunnel(Good.Build(), type: type), DropReason.IngressPayloadType);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Process_UnknownCriticalOption_IsDroppedWhateverTheHeadersBit(bool bit)
    {
        byte[] datagram = Tunnel(Good.Build(), options: [.. Unknown, .. UnknownCritical]);
        datagram[1] = (byte)(bit ? 0x40 : 0);
        IngressNode node = Run(datagram);
        Assert.Empty(node.Device.Written);
        Assert.Equal(1, node.Counters.Drops[(int)DropReason.IngressCriticalOption]);
        node.AssertConserved();
    }

    [Fact]
    public void Process_CriticalBitWithoutACriticalOption_IsNoGroundToDrop()
    {
        byte[] datagram = Tunnel(Good.Build(), options: Unknown);
        datagram[1] |= 0x40;
        Assert.Equal(Good.Build(), Assert.Single(Run(datagram).Device.Written).Bytes);
    }

    [Fact]
    public void Process_CriticalOptionOfTheSegment_IsKnown()
    {
        byte[] datagram = Tunnel(Good.Build(), options: [.. Unknown, .. KnownCritical]);
        Assert.Single(Run(datagram, Formats.Of("geneve, options")).Device.Written);
        Assert.Empty(Run(datagram).Device.Written);
    }

    [Fact]
    public void Process_UnknownVni_IsDropped() => AssertUnassigned(Tunnel(Good.Build(), vni: 0xffffff), DropReason.IngressUnknownSegment);

    [Theory]
    [InlineData(EtherTypes.Ipv6)]
    [InlineData(EtherTypes.Ipv4)]
    public void Process_BareIpOfTheOtherVersionOrCutShort_IsMalformed(ushort type)
    {
        byte[] packet = Good.Build()[14..];
        IngressNode node = Run(Tunnel(type == EtherTypes.Ipv4 ? packet[..19] : packet, type: type));
        Assert.Empty(node.Device.Written);
        Assert.Equal(1, node.Counters.Drops[(int)DropReason.IngressInnerMalformed]);
        node.AssertConserved();
    }

    [Fact]
    public void Process_CongestionOnABareIpPacketThatCannotReact_IsDropped()
    {
        var node = new IngressNode();
        node.Underlay.Deliver(IngressNode.PeerV4, Tunnel(Good.Build()[14..], type: EtherTypes.Ipv4), trafficClass: 3, encapsulation: Encapsulation.Geneve);
        node.Run();
        Assert.Equal(1, node.Counters.Drops[(int)DropReason.IngressEcnConflict]);
    }

    [Fact]
    public void Process_BothEncapsulationsOfOnePeer_ReachTheSegmentInOrder()
    {
        var node = new IngressNode();
        PlainPacket second = Good.Next(new byte[100]), third = second.Next(new byte[100]);
        node.Underlay.Deliver(IngressNode.PeerV4, IngressNode.Tunnel(Good.Build()));
        node.Underlay.Deliver(IngressNode.PeerV4, Tunnel(second.Build()[14..], type: EtherTypes.Ipv4), encapsulation: Encapsulation.Geneve);
        node.Underlay.Deliver(IngressNode.PeerV4, Tunnel(third.Build()), encapsulation: Encapsulation.Geneve);
        node.Run();
        Assert.Equal([Good.Build()[14..], second.Build()[14..], third.Build()[14..]], node.Device.Written.Select(frame => frame.Bytes[14..]));
        node.AssertConserved();
    }

    [Fact]
    public void Process_AnyBytes_EachDatagramIsCountedOnce() => Seeded.Check(2000, random =>
    {
        var node = new IngressNode();
        byte[] bytes = Tunnel(Good.Build(), options: Formats.Options, type: random.Next(2) == 0 ? EtherTypes.TransparentEthernet : EtherTypes.Ipv4);
        for (int flips = random.Next(1, 6); flips > 0; flips--) bytes[random.Next(Math.Min(bytes.Length, 60))] ^= (byte)(1 << random.Next(8));
        byte[] train = [.. bytes, .. bytes, .. bytes[..random.Next(1, bytes.Length)]];
        node.Underlay.Deliver(IngressNode.PeerV4, train, bytes.Length, (byte)random.Next(4), Encapsulation.Geneve);
        node.Run();
        Assert.True(node.Counters.IngressIn.Packets + node.OtherCounters.IngressIn.Packets + node.Unassigned.IngressIn.Packets >= 1);
        node.AssertConserved();
    });

    private static IngressNode Run(byte[] datagram, TunnelFormat? format = null)
    {
        var node = new IngressNode(new MacAddress(PlainPacket.DeviceMac), format);
        node.Underlay.Deliver(IngressNode.PeerV4, datagram, encapsulation: Encapsulation.Geneve);
        node.Run();
        node.AssertConserved();
        return node;
    }

    private static void AssertUnassigned(byte[] datagram, DropReason reason)
    {
        IngressNode node = Run(datagram);
        Assert.Empty(node.Device.Written);
        Assert.Equal((1, 1), (node.Unassigned.Drops[(int)reason], node.Unassigned.IngressIn.Packets));
    }

    private static byte[] Tunnel(byte[] payload, uint vni = IngressNode.Vni, byte[]? options = null, ushort type = EtherTypes.TransparentEthernet)
    {
        options ??= [];
        byte[] header = new byte[8];
        header[0] = (byte)(options.Length / 4);
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(2), type);
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(4), vni << 8);
        return [.. header, .. options, .. payload];
    }
}
