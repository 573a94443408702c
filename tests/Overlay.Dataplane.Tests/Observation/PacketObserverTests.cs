using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Tests.Bridging;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Observation;

/// <summary>What captures and the rings get of the packets that pass, and of those that the daemon makes itself.</summary>
public sealed class PacketObserverTests
{
    private static readonly InnerFrame Stream = new()
    {
        Source = EgressLab.LocalV4,
        Destination = EgressLab.V4(2, 9),
        Payload = [.. Enumerable.Range(0, 20_000).Select(i => (byte)(i * 7))],
        DestinationPort = 443,
    };

    [Theory]
    [InlineData(TunnelOffload.None)]
    [InlineData(TunnelOffload.Ipv4 | TunnelOffload.Ipv6)]
    public void Capture_OfAPeer_HasItsSuperPacketsAsTheyCameAndNoOthers(TunnelOffload tunnel)
    {
        var lab = new EgressLab(tunnel);
        CaptureQueue capture = Capture(lab, new CaptureFilter { Peer = lab.B.Name, At = ObservedAt.Inner });
        byte[] wanted = Stream.Unfinished();
        lab.Deliver((Stream with { Destination = EgressLab.V4(3, 9) }).Unfinished(), Stream.Offload(1398));
        lab.Deliver((byte[])wanted.Clone(), Stream.Offload(1398));

        lab.Run();

        (PacketRecord record, byte[] bytes) = Assert.Single(Taken(capture));
        Assert.Equal((lab.B, PacketVerdict.Forwarded, wanted.Length), (record.Peer, record.Verdict, record.Length));
        Assert.Equal(wanted, bytes);
    }

    [Fact]
    public void Capture_OfAPort_TakesNothingOfOthersAndBothSidesOfItsOwn()
    {
        var lab = new EgressLab();
        CaptureQueue other = Capture(lab, new CaptureFilter { Port = 9 });
        CaptureQueue own = new(new CaptureFilter { Port = 443, Protocol = IpProtocols.Tcp }, snapLength: 128, records: 64, bytes: 1 << 20);
        lab.Observer.Captures = [other, own];
        lab.Deliver(Stream.Unfinished(), Stream.Offload(1398));

        lab.Run();

        Assert.Empty(Taken(other));
        List<(PacketRecord Record, byte[] Bytes)> taken = Taken(own);
        Assert.Single(taken, each => each.Record.At == ObservedAt.Inner);
        Assert.Equal((20_000 + 1397) / 1398, taken.Count(each => each.Record.At == ObservedAt.Outer));
        Assert.All(taken, each => Assert.Equal(128, each.Bytes.Length));
        Assert.Equal(
            lab.Underlay.Sent.SelectMany(train => train.Datagrams).Select(datagram => Convert.ToHexString(datagram.AsSpan(0, 128))),
            taken.Where(each => each.Record.At == ObservedAt.Outer).Select(each => Convert.ToHexString(each.Bytes)));
    }

    [Fact]
    public void Ring_TrainOfDatagrams_HasItsLast()
    {
        var lab = new EgressLab();
        lab.Deliver(Stream.Unfinished(), Stream.Offload(1398));

        lab.Run();

        byte[] last = lab.Underlay.Sent.SelectMany(train => train.Datagrams).Last();
        (PacketRecord record, byte[] bytes) = Assert.Single(lab.Observer.Recent(), each => each.Record.At == ObservedAt.Outer);
        Assert.Equal(last.Length, record.Length);
        Assert.Equal(last[..PacketRing.SnapLength], bytes);
    }

    [Theory]
    [InlineData(Encapsulation.Vxlan, "0800000000002a00", 0)]
    [InlineData(Encapsulation.Geneve, "0100655800002a0001020300", 0)]
    [InlineData(Encapsulation.Geneve, "0100080000002a0001020300", EthernetFrame.MinHeaderLength)]
    [InlineData(Encapsulation.IpInIp, "", EthernetFrame.MinHeaderLength)]
    public void Takes_ReceivedDatagramOfNoSegment_LooksBehindItsOwnHeader(Encapsulation encapsulation, string header, int from)
    {
        byte[] datagram = [.. Convert.FromHexString(header), .. Stream.Unfinished().AsSpan(from, 150)];
        var record = new PacketRecord { At = ObservedAt.Outer, Encapsulation = encapsulation, Verdict = PacketVerdict.Dropped, Remote = new UnderlayEndpoint(IpBits.Mapped(0xc000_0202), 4789) };

        Assert.True(new CaptureFilter { Port = 443, Protocol = IpProtocols.Tcp, Host = IpBits.Mapped(EgressLab.V4(2, 9)), DroppedOnly = true }.Takes(record, datagram));
        Assert.False(new CaptureFilter { Port = 80 }.Takes(record, datagram));
        Assert.True(new CaptureFilter { Host = record.Remote.Address }.Takes(record, datagram));
    }

    [Fact]
    public void Answers_ToTheHost_AreItsOwnPackets()
    {
        var lab = new EgressLab();
        CaptureQueue capture = Capture(lab, new CaptureFilter { Host = IpBits.Mapped(EgressLab.LocalV4) });
        lab.Deliver(BridgeFrames.Arp(ArpOperation.Request, BridgeFrames.Host(1), EgressLab.LocalV4, EgressLab.V4(2, 9)));
        lab.Deliver((Stream with { Destination = EgressLab.V4(7, 1), Payload = new byte[10] }).Finished());

        lab.Run();

        List<(PacketRecord Record, byte[] Bytes)> taken = Taken(capture);
        Assert.Equal([PacketVerdict.Answered, PacketVerdict.Dropped, PacketVerdict.Own, PacketVerdict.Own], taken.Select(each => each.Record.Verdict));
        Assert.Equal(lab.Device.Written.Select(frame => Convert.ToHexString(frame.Bytes)), taken.Skip(2).Select(each => Convert.ToHexString(each.Bytes)));
        Assert.All(taken, each => Assert.Equal(each.Record.Verdict != PacketVerdict.Own, each.Record.IsEgress));
        Assert.Equal(2, lab.Observer.Recent().Count(each => each.Record.Verdict == PacketVerdict.Own));
    }

    [Fact]
    public void PathMessages_ThatAreSent_AreShownWithTheirPadding()
    {
        var lab = new EgressLab();
        CaptureQueue all = Capture(lab, new CaptureFilter { Peer = lab.B.Name });
        CaptureQueue tcp = new(new CaptureFilter { Protocol = IpProtocols.Tcp }, snapLength: 65_536, records: 64, bytes: 1 << 20);
        lab.Observer.Captures = [all, tcp];
        var frames = new PathFrames(new SendBatch(4, 8), trafficClass: 0);
        Assert.True(frames.TryAdd(lab.B, lab.Segment, IpBits.Mapped(EgressLab.LocalOuterV4), PathMessageKind.Probe, 1500, 0, 7, 0));
        Assert.True(frames.TryAdd(lab.B, lab.Segment, IpBits.Mapped(EgressLab.LocalOuterV4), PathMessageKind.Answer, 0, 1400, 7, 0));
        lab.Underlay.Send(frames.Batch);

        frames.ShowTo(lab.Observer, [4789], timeToLive: 64);

        List<(PacketRecord Record, byte[] Bytes)> taken = Taken(all);
        Assert.Equal(lab.Underlay.Sent.SelectMany(train => train.Datagrams).Select(Convert.ToHexString), taken.Select(each => Convert.ToHexString(each.Bytes)));
        Assert.All(taken, each => Assert.Equal((PacketVerdict.PathMessage, true, lab.B), (each.Record.Verdict, each.Record.IsEgress, each.Record.Peer)));
        Assert.Empty(Taken(tcp));
    }

    private static CaptureQueue Capture(EgressLab lab, CaptureFilter filter)
    {
        var capture = new CaptureQueue(filter, snapLength: 65_536, records: 64, bytes: 1 << 20);
        lab.Observer.Captures = [capture];
        return capture;
    }

    private static List<(PacketRecord Record, byte[] Bytes)> Taken(CaptureQueue capture)
    {
        var list = new List<(PacketRecord Record, byte[] Bytes)>();
        while (capture.TryPeek(out PacketRecord record, out ReadOnlySpan<byte> bytes))
        {
            list.Add((record, bytes.ToArray()));
            capture.Release();
        }
        Assert.Equal((0, 0), (capture.LostInner, capture.LostOuter));
        return list;
    }
}
