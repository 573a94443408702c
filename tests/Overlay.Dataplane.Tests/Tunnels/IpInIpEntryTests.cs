using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Tunnels;

/// <summary>What enters an IP-in-IP tunnel, and with what outer protocol and limit. Node 2 is reached over IPv4, node 4 over IPv6.</summary>
public sealed class IpInIpEntryTests
{
    private const int Ipv4Peer = 2, Ipv6Peer = 4;

    private static TunnelFormat Format(byte? limit = null) => new() { Encapsulation = Encapsulation.IpInIp, EncapsulationLimit = limit };

    [Theory]
    [InlineData(false, Ipv4Peer, IpProtocols.Ipv4InIp)]
    [InlineData(true, Ipv4Peer, IpProtocols.Ipv6InIp)]
    [InlineData(false, Ipv6Peer, IpProtocols.Ipv4InIp)]
    [InlineData(true, Ipv6Peer, IpProtocols.Ipv6InIp)]
    public void Process_EitherVersion_LeavesBareWithItsProtocol(bool isIpv6, int peer, byte protocol)
    {
        var lab = new EgressLab(format: Format());
        byte[] frame = Frame(isIpv6, peer).Finished();
        lab.Deliver([.. frame]);
        lab.Run();
        SentTrain sent = Assert.Single(lab.Underlay.Sent);
        Assert.Equal((protocol, DatagramTrain.NoLimit), (sent.Train.Protocol, sent.Train.EncapsulationLimit));
        Assert.Equal(frame[14..], sent.Bytes);
    }

    [Theory]
    [InlineData(null, 4, 4)]
    [InlineData(null, null, -1)]
    [InlineData(1, 4, 0)]
    [InlineData(7, null, 6)]
    [InlineData(255, 0, 254)]
    public void Process_LimitOfThePacketOrConfigured_IsWrittenOverIpv6Only(int? own, int? configured, int written)
    {
        foreach ((int peer, int expected) in new[] { (Ipv6Peer, written), (Ipv4Peer, DatagramTrain.NoLimit) })
        {
            var lab = new EgressLab(format: Format((byte?)configured));
            lab.Deliver(own is { } limit ? Limited(peer, (byte)limit) : Frame(isIpv6: true, peer).Finished());
            lab.Run();
            Assert.Equal(expected, Assert.Single(lab.Underlay.Sent).Train.EncapsulationLimit);
        }
    }

    [Fact]
    public void Process_PacketsOfAFlowWithDifferentLimits_LeaveWithTheirOwn()
    {
        var lab = new EgressLab(format: Format());
        foreach (byte limit in (byte[])[5, 5, 9]) lab.Deliver(Limited(Ipv6Peer, limit));
        lab.Run();
        Assert.Equal([(2, 4), (1, 8)], lab.Underlay.Sent.Select(sent => (sent.Train.Packets, (int)sent.Train.EncapsulationLimit)));
    }

    [Fact]
    public void Process_LimitOfZeroOverIpv6_IsRefusedWithAParameterProblemAtTheLimit()
    {
        var lab = new EgressLab(format: Format(4));
        byte[] frame = Limited(Ipv6Peer, 0);
        lab.Deliver([.. frame]);
        lab.Run();
        Assert.Empty(lab.Underlay.Sent);
        Assert.Equal((1, 1), (lab.Counters.Drops[(int)DropReason.EgressEncapsulationLimit], lab.Counters.IcmpErrors));
        byte[] answer = Assert.Single(lab.Device.Written).Bytes;
        Assert.Equal([Icmpv6Types.ParameterProblem, 0], answer[54..56]);
        Assert.Equal([0, 0, 0, 44, .. frame[14..]], answer[58..]);
        Assert.Equal(0, frame[14 + 44]);
    }

    [Theory]
    [InlineData(1452, 1452)]
    [InlineData(1452, 1453)]
    public void Process_PacketThatBringsALimit_HasRoomForTheOption(int room, int length)
    {
        var lab = new EgressLab(format: Format());
        lab.D.Path.LinkMtu = 1500;
        byte[] frame = Limited(Ipv6Peer, 9, payload: length - 48 - UdpHeader.HeaderLength);
        lab.Deliver(frame);
        lab.Run();
        Assert.Equal(length <= room ? 0 : 1, lab.Counters.Drops[(int)DropReason.EgressTooBig]);
    }

    [Theory]
    [InlineData("vxlan")]
    [InlineData("geneve, bare IP")]
    [InlineData("ipip")]
    public void Process_PacketForThePeersOwnEnd_IsALoop(string format)
    {
        var lab = new EgressLab(format: format == "ipip" ? Format() : Formats.Of(format), everythingTo: Ipv4Peer);
        lab.Deliver((Frame(isIpv6: false, Ipv4Peer) with { Destination = (uint)lab.B.Endpoint.Address }).Finished());
        lab.Run();
        Assert.Empty(lab.Underlay.Sent);
        Assert.Equal(1, lab.Counters.Drops[(int)DropReason.EgressLoop]);
    }

    [Fact]
    public void Process_PacketFromAnEndOrExpired_IsRefused()
    {
        var lab = new EgressLab(format: Format());
        lab.Deliver((Frame(isIpv6: false, Ipv4Peer) with { Source = EgressLab.LocalOuterV4 }).Finished());
        lab.Deliver((Frame(isIpv6: false, Ipv4Peer) with { Source = (uint)lab.B.Endpoint.Address }).Finished());
        lab.Deliver((Frame(isIpv6: true, Ipv6Peer) with { Source = EgressLab.LocalOuterV6 }).Finished());
        byte[] expired = Frame(isIpv6: true, Ipv6Peer).Finished();
        expired[21] = 0;
        lab.Deliver(expired);
        lab.Run();
        Assert.Empty(lab.Underlay.Sent);
        Assert.Equal((3, 1), (lab.Counters.Drops[(int)DropReason.EgressLoop], lab.Counters.Drops[(int)DropReason.EgressExpired]));
    }

    /// <summary>With a destination options header of the limit and padding.</summary>
    private static byte[] Limited(int peer, byte limit, int payload = 5)
    {
        byte[] frame = (Frame(isIpv6: true, peer) with { Ipv6Extension = 8, Payload = new byte[payload] }).Finished();
        byte[] option = [4, 1, limit, 1, 1, 0];
        option.CopyTo(frame, 14 + Ipv6Packet.HeaderLength + 2);
        return frame;
    }

    private static InnerFrame Frame(bool isIpv6, int node) => new()
    {
        IsIpv6 = isIpv6,
        IsUdp = true,
        Source = isIpv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
        Destination = isIpv6 ? EgressLab.V6(node, 9) : EgressLab.V4(node, 9),
        Payload = [1, 2, 3, 4, 5],
    };
}
