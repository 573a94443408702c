using Overlay.Testing;

namespace Overlay.Wire.Tests;

/// <summary>Writing what was read gives the same bytes, down every layer of generated frames; and the other way round.</summary>
public sealed class IdentityTests
{
    [Fact]
    public void WriteOfParse_GeneratedFrames_IsIdentity() => Seeded.Check(50_000, random =>
    {
        byte[] frame = new byte[RandomFrames.MaxLength];
        byte[] copy = new byte[RandomFrames.MaxLength];
        int length = RandomFrames.Write(random, frame);

        new Random(length).NextBytes(copy); // every byte has to be written, so nothing may be left of this
        int written = Rewrite.Frame(frame.AsSpan(0, length), copy);

        Assert.Equal(Convert.ToHexString(frame, 0, length), Convert.ToHexString(copy, 0, written));
    });

    [Fact]
    public void ParseOfWrite_Ethernet_IsIdentity() => Seeded.Check(10_000, random =>
    {
        byte[] bytes = new byte[22];
        MacAddress destination = RandomFrames.Mac(random), source = RandomFrames.Mac(random);
        var outer = new VlanTag(EtherTypes.ProviderVlan, (ushort)random.Next(0x10000));
        var inner = new VlanTag(EtherTypes.Vlan, (ushort)random.Next(0x10000));

        int length = EthernetFrame.WriteHeader(bytes, destination, source, [outer, inner], EtherTypes.Ipv6);

        Assert.Equal(WireStatus.Ok, EthernetFrame.TryParse(bytes, out EthernetFrame view));
        Assert.Equal(22, length);
        Assert.Equal(destination, view.Destination);
        Assert.Equal(source, view.Source);
        Assert.Equal((outer, inner, 2), (view.OuterTag, view.InnerTag, view.VlanTagCount));
        Assert.Equal((EtherTypes.Ipv6, 22), (view.EtherType, view.HeaderLength));
    });

    [Fact]
    public void ParseOfWrite_Ipv4_IsIdentity() => Seeded.Check(10_000, random =>
    {
        byte[] bytes = new byte[1500];
        byte[] options = new byte[random.Next(11) * 4];
        random.NextBytes(options);
        var fields = new Ipv4Fields
        {
            TrafficClass = (byte)random.Next(256),
            TotalLength = random.Next(60, 1501),
            Identification = (ushort)random.Next(0x10000),
            DontFragment = random.Next(2) == 0,
            MoreFragments = random.Next(2) == 0,
            FragmentOffset = random.Next(0x2000) * 8,
            TimeToLive = (byte)random.Next(256),
            Protocol = (byte)random.Next(256),
            Source = (uint)random.NextInt64(1L << 32),
            Destination = (uint)random.NextInt64(1L << 32),
        };

        int length = Ipv4Packet.WriteHeader(bytes, fields, options);

        Assert.Equal(WireStatus.Ok, Ipv4Packet.TryParse(bytes, out Ipv4Packet view));
        Assert.Equal(fields, Rewrite.Fields(view));
        Assert.Equal(length, view.HeaderLength);
        Assert.True(view.Options.SequenceEqual(options));
        Assert.True(view.IsHeaderChecksumValid);
        Assert.Equal(fields.MoreFragments || fields.FragmentOffset != 0, view.IsFragment);
    });

    [Fact]
    public void ParseOfWrite_Ipv6_IsIdentity() => Seeded.Check(10_000, random =>
    {
        byte[] bytes = new byte[1500];
        var fields = new Ipv6Fields
        {
            TrafficClass = (byte)random.Next(256),
            FlowLabel = (uint)random.Next(1 << 20),
            PayloadLength = random.Next(1461),
            NextHeader = IpProtocols.NoNextHeader,
            HopLimit = (byte)random.Next(256),
            Source = new UInt128((ulong)random.NextInt64(), (ulong)random.NextInt64()),
            Destination = new UInt128((ulong)random.NextInt64(), (ulong)random.NextInt64()),
        };

        Ipv6Packet.WriteHeader(bytes, fields);

        Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(bytes, out Ipv6Packet view));
        Assert.Equal(fields, Rewrite.Fields(view));
        Assert.Equal((IpProtocols.NoNextHeader, Ipv6Packet.HeaderLength), (view.UpperProtocol, view.UpperOffset));
    });

    [Fact]
    public void ParseOfWrite_Tcp_IsIdentity() => Seeded.Check(10_000, random =>
    {
        byte[] bytes = new byte[100];
        byte[] options = new byte[random.Next(11) * 4];
        random.NextBytes(options);
        var fields = new TcpFields
        {
            SourcePort = (ushort)random.Next(0x10000),
            DestinationPort = (ushort)random.Next(0x10000),
            SequenceNumber = (uint)random.NextInt64(1L << 32),
            AcknowledgmentNumber = (uint)random.NextInt64(1L << 32),
            Flags = (TcpFlags)random.Next(256),
            Window = (ushort)random.Next(0x10000),
            UrgentPointer = (ushort)random.Next(0x10000),
        };

        int length = TcpHeader.Write(bytes, fields, options);

        Assert.Equal(WireStatus.Ok, TcpHeader.TryParse(bytes, out TcpHeader view));
        Assert.Equal(fields, Rewrite.Fields(view));
        Assert.Equal(length, view.HeaderLength);
        Assert.True(view.Options.SequenceEqual(options));
    });

    [Fact]
    public void ParseOfWrite_NeighborMessages_IsIdentity() => Seeded.Check(10_000, random =>
    {
        byte[] bytes = new byte[NeighborMessage.LengthWithLinkLayerAddress];
        UInt128 source = RandomFrames.AddressV6(random), destination = RandomFrames.AddressV6(random);
        UInt128 target = RandomFrames.AddressV6(random);
        MacAddress mac = RandomFrames.Mac(random);
        var flags = (NeighborFlags)(random.Next(8) << 5);

        NeighborMessage.WriteAdvertisement(bytes, source, destination, target, flags, mac);

        Assert.Equal(WireStatus.Ok, NeighborMessage.TryParse(bytes, out NeighborMessage view));
        Assert.False(view.IsSolicitation);
        Assert.True(view.HasLinkLayerAddress);
        Assert.Equal((flags, target, mac), (view.Flags, view.Target, view.LinkLayerAddress));

        int length = NeighborMessage.WriteSolicitation(bytes, source, destination, target, null);

        Assert.Equal(WireStatus.Ok, NeighborMessage.TryParse(bytes.AsSpan(0, length), out view));
        Assert.True(view.IsSolicitation);
        Assert.False(view.HasLinkLayerAddress);
        Assert.Equal((NeighborFlags.None, target, default(MacAddress)), (view.Flags, view.Target, view.LinkLayerAddress));
    });

    [Fact]
    public void ParseOfWrite_Vxlan_IsIdentity() => Seeded.Check(10_000, random =>
    {
        byte[] bytes = new byte[VxlanHeader.Length];
        random.NextBytes(bytes);
        uint vni = (uint)random.Next(1 << 24);

        VxlanHeader.Write(bytes, vni);

        Assert.Equal(WireStatus.Ok, VxlanHeader.TryParse(bytes, out VxlanHeader view));
        Assert.True(view.HasVni);
        Assert.Equal(vni, view.Vni);
        Assert.Equal<byte>([0x08, 0, 0, 0, (byte)(vni >> 16), (byte)(vni >> 8), (byte)vni, 0], bytes);
    });
}
