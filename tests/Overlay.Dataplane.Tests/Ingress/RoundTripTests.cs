using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tests.Tunnels;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>Out by the egress path, in by the ingress path: the frame that comes out is the frame that went in, but for its MAC addresses.</summary>
public sealed class RoundTripTests
{
    [Theory]
    [InlineData(false, false, 61_600, 1400, TcpFlags.Ack)]
    [InlineData(false, false, 61_599, 1400, TcpFlags.Ack | TcpFlags.Psh)]
    [InlineData(true, false, 40_000, 1388, TcpFlags.Ack | TcpFlags.Psh)]
    [InlineData(false, true, 64_000, 1000, TcpFlags.None)]
    [InlineData(true, true, 63_999, 1000, TcpFlags.None)]
    [InlineData(false, false, 2, 1, TcpFlags.Ack)]
    public void Process_SuperPacketThroughTheTunnel_ComesOutAsItWentIn(bool v6, bool udp, int payload, int segmentSize, TcpFlags flags)
    {
        InnerFrame inner = NewFrame(v6, payload) with { IsUdp = udp, Flags = flags };
        VirtioNetHeader offload = inner.Offload((ushort)segmentSize);
        Assert.All(Formats.Every, format =>
        {
            MemoryFrame frame = Assert.Single(Tunnel(inner.Unfinished(), offload, format));
            AssertSame(inner, offload, frame);
        });
    }

    private static void AssertSame(InnerFrame inner, VirtioNetHeader offload, MemoryFrame frame)
    {
        Assert.Equal(inner.Unfinished()[12..], frame.Bytes[12..]);
        Assert.Equal((offload.Flags, offload.GsoType), (frame.Offload.Flags, frame.Offload.GsoType));
        Assert.Equal(
            (offload.SegmentSize, offload.ChecksumStart, offload.ChecksumOffset),
            (frame.Offload.SegmentSize, frame.Offload.ChecksumStart, frame.Offload.ChecksumOffset));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Process_SinglePacketThroughTheTunnel_ComesOutFinishedAndValid(bool v6, bool udp)
    {
        InnerFrame inner = NewFrame(v6, 100) with { IsUdp = udp };
        Assert.All(Formats.Every, format =>
        {
            MemoryFrame frame = Assert.Single(Tunnel(inner.Unfinished(), inner.Offload(0), format));
            Assert.Equal(inner.Finished()[12..], frame.Bytes[12..]);
            Assert.Equal([2, 0, 0, 0, 0, 2], frame.Bytes[..6]);
            Assert.Equal(VirtioNetFlags.DataValid, frame.Offload.Flags);
        });
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Process_TaggedFrameWhereTagsAreKept_ComesOutTagged(int tags)
    {
        InnerFrame inner = NewFrame(v6: false, 100) with { Tags = [.. Enumerable.Repeat(new VlanTag(EtherTypes.ProviderVlan, 9), tags)] };
        MemoryFrame frame = Assert.Single(Tunnel(inner.Unfinished(), inner.Offload(0), Formats.Of("vxlan, tags kept")));
        Assert.Equal(inner.Finished()[12..], frame.Bytes[12..]);
    }

    private static List<MemoryFrame> Tunnel(byte[] frame, VirtioNetHeader offload, TunnelFormat format)
    {
        var sender = new EgressLab(format: format);
        sender.Deliver(frame, offload);
        sender.Run();
        var receiver = new IngressNode(sender.B.Mac, format);
        foreach (SentTrain train in sender.Underlay.Sent)
            receiver.Underlay.Deliver(IngressNode.PeerV4, train.Bytes, train.Train.SegmentSize, train.Train.TrafficClass, format.Encapsulation);
        receiver.Run();
        receiver.AssertConserved();
        Assert.Equal(sender.Counters.EgressOut.Packets, receiver.Counters.IngressOut.Packets);
        long ethernetHeaders = format.IsBareIp ? receiver.Counters.IngressOut.Packets * EthernetFrame.MinHeaderLength : 0;
        Assert.Equal(sender.Counters.EgressOut.Bytes + ethernetHeaders, receiver.Counters.IngressOut.Bytes);
        return receiver.Device.Written;
    }

    private static InnerFrame NewFrame(bool v6, int payload)
    {
        byte[] bytes = new byte[payload];
        new Random(payload).NextBytes(bytes);
        return new InnerFrame
        {
            IsIpv6 = v6,
            Source = v6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
            Destination = v6 ? EgressLab.V6(2, 5) : EgressLab.V4(2, 5),
            Payload = bytes,
        };
    }
}
