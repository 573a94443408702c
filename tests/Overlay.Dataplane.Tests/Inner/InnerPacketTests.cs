using Overlay.Dataplane.Inner;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Inner;

public sealed class InnerPacketTests
{
    [Fact]
    public void TryParse_TaggedFrameWithExtensions_FindsEveryOffset()
    {
        var frame = new InnerFrame
        {
            IsIpv6 = true,
            Source = 1,
            Destination = EgressLab.V6(2, 9),
            Payload = new byte[10],
            Ipv6Extension = 16,
            TcpOptions = [1, 1, 1, 0],
            TrafficClass = 0xb9,
            Tags = [new VlanTag(EtherTypes.ProviderVlan, 1), new VlanTag(EtherTypes.Vlan, 2)],
        };
        byte[] bytes = [.. frame.Finished(), 1, 2, 3];
        Assert.Equal(WireStatus.Ok, InnerPacket.TryParse(bytes, out InnerPacket packet));
        Assert.True(packet.IsIpv6);
        Assert.Equal(2, packet.VlanTags);
        Assert.Equal((22, 78, 102, 112, 112), (packet.NetworkOffset, packet.TransportOffset, packet.HeadersEnd, packet.TransportEnd, packet.End));
        Assert.Equal(frame.Destination, packet.DestinationV6);
        Assert.Equal(IpProtocols.Tcp, packet.Protocol);
        Assert.Equal(1, packet.Ecn);
        Assert.True(packet.HasTransport);
    }

    [Fact]
    public void TryParse_Fragments_HashAlikeWithoutPorts()
    {
        byte[] first = new InnerFrame { IsUdp = true, Source = 1, Destination = 2, Payload = new byte[16] }.Finished();
        byte[] second = [.. first];
        first[20] = 0x20;
        second[21] = 2;
        second.AsSpan(34).Fill(0x55);
        Assert.Equal(WireStatus.Ok, InnerPacket.TryParse(first, out InnerPacket one));
        Assert.Equal(WireStatus.Ok, InnerPacket.TryParse(second, out InnerPacket two));
        Assert.True(one.IsFragment && two.IsFragment);
        Assert.False(one.HasTransport);
        Assert.Equal(one.FlowHash, two.FlowHash);
    }

    [Fact]
    public void TryParse_MalformedTransport_IsStillAPacket()
    {
        byte[] frame = new InnerFrame { Source = 1, Destination = 2, Payload = [] }.Finished();
        frame[46] = 0x40;
        Assert.Equal(WireStatus.Ok, InnerPacket.TryParse(frame, out InnerPacket packet));
        Assert.False(packet.HasTransport);
        Assert.Equal(packet.TransportOffset, packet.HeadersEnd);
    }

    [Fact]
    public void TryParse_AnyBytes_OffsetsStayInOrderInsideTheFrame() => Seeded.Check(3_000, random =>
    {
        byte[] frame = new byte[RandomFrames.MaxLength];
        int length = RandomFrames.Write(random, frame);
        for (int i = random.Next(6); i > 0; i--) frame[random.Next(Math.Min(length, 80))] = (byte)random.Next(256);
        length = random.Next(3) == 0 ? random.Next(length + 1) : length;
        if (InnerPacket.TryParse(frame.AsSpan(0, length), out InnerPacket packet) != WireStatus.Ok) return;
        int[] offsets = [14, packet.NetworkOffset, packet.TransportOffset, packet.HeadersEnd, packet.TransportEnd, packet.End, length];
        Assert.Equal(offsets.Order(), offsets);
    });
}
