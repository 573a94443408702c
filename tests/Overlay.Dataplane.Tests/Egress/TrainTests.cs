using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Egress;

public sealed class TrainTests
{
    [Fact]
    public void Process_InterleavedFlows_FillATrainEach()
    {
        var lab = new EgressLab();
        for (int i = 0; i < 120; i++) lab.Deliver(Frame(2 + (i % 2), port: 1000 + (i % 4), payload: 100).Finished());
        lab.Run();
        Assert.Equal(4, lab.Underlay.Sent.Count);
        Assert.All(lab.Underlay.Sent, sent => Assert.Equal(30, sent.Train.Packets));
    }

    [Fact]
    public void Process_MoreThanSixtyFourDatagrams_StartsANewTrain()
    {
        var lab = new EgressLab();
        for (int i = 0; i < 100; i++) lab.Deliver(Frame(2, 1000, 10).Finished());
        lab.Run();
        Assert.Equal([64, 36], lab.Underlay.Sent.Select(sent => sent.Train.Packets));
    }

    [Fact]
    public void Process_ShorterDatagram_ClosesItsTrain()
    {
        var lab = new EgressLab();
        foreach (int payload in new[] { 100, 100, 60, 60, 100 }) lab.Deliver(Frame(2, 1000, payload).Finished());
        lab.Run();
        Assert.Equal([3, 1, 1], lab.Underlay.Sent.Select(sent => sent.Train.Packets));
        Assert.Equal([162, 0, 0], lab.Underlay.Sent.Select(sent => (int)sent.Train.SegmentSize));
    }

    [Fact]
    public void Process_EcnChangesWithinAFlow_KeepsOrderAndNeverMixes()
    {
        var lab = new EgressLab();
        byte[] marks = [2, 2, 3, 2, 2, 1];
        for (int i = 0; i < marks.Length; i++)
            lab.Deliver((Frame(2, 1000, 50) with { TrafficClass = marks[i], SequenceNumber = (uint)i }).Finished());
        lab.Run();
        Assert.Equal([2, 3, 2, 1], lab.Underlay.Sent.Select(sent => (int)sent.Train.TrafficClass));
        Assert.Equal([0, 1, 2, 3, 4, 5], lab.InnerFramesSent.Select(inner => (int)inner[41]));
    }

    [Fact]
    public void Process_RandomTraffic_KeepsOrderPerSourcePortAndEveryTrainLegal() => Seeded.Check(60, random =>
    {
        var lab = new EgressLab();
        int[] sizes = [40, 40, 40, 900, 1400];
        for (uint i = 0; i < 300; i++)
        {
            InnerFrame frame = Frame(random.Next(2, 5), 1000 + random.Next(6), sizes[random.Next(sizes.Length)]) with
            {
                SequenceNumber = i << 16,
                TrafficClass = (byte)(random.Next(8) == 0 ? 3 : 2),
            };
            if (random.Next(10) == 0) lab.Deliver((frame with { Payload = new byte[30_000] }).Unfinished(), frame.Offload(1000));
            else lab.Deliver(frame.Finished());
        }
        lab.Run();
        Assert.All(lab.Underlay.Sent, AssertLegal);
        foreach (var lane in lab.Underlay.Sent.GroupBy(sent => sent.Train.SourcePortIndex))
        {
            uint[] sequence = [.. lane.SelectMany(sent => sent.Datagrams).Select(datagram => System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(datagram.AsSpan(46)))];
            Assert.Equal(sequence.Order(), sequence);
        }
        Assert.Equal(lab.Counters.EgressIn.Packets, lab.InnerFramesSent.Count());
    });

    [Fact]
    public void Seal_TrainsGrownInTurns_GroupsTheirSlices()
    {
        var batch = new SendBatch(4, 16);
        Peer peer = new EgressLab().B;
        batch.Add(peer, TrainKind.Datagrams);
        batch.Add(peer, TrainKind.Datagrams);
        for (int i = 0; i < 3; i++)
        {
            batch.AddSlice(0, new BufferSlice(1000 * i, 10));
            batch.AddSlice(1, new BufferSlice((1000 * i) + 500, 20));
        }
        batch.AddSlice(0, new BufferSlice(2010, 5));
        batch.Seal();
        Assert.Equal([new(0, 10), new(1000, 10), new(2000, 15)], batch.Slices(batch.Trains[0]).ToArray());
        Assert.Equal([new(500, 20), new(1500, 20), new(2500, 20)], batch.Slices(batch.Trains[1]).ToArray());
        Assert.Equal((35, 60), (batch.Trains[0].Length, batch.Trains[1].Length));
    }

    private static void AssertLegal(SentTrain sent)
    {
        DatagramTrain train = sent.Train;
        byte[][] datagrams = [.. sent.Datagrams];
        Assert.InRange(train.Length, 1, 65_507);
        Assert.InRange(datagrams.Length, 1, 64);
        Assert.Equal(train.Packets, datagrams.Length);
        Assert.Equal(datagrams.Length == 1, train.SegmentSize == 0);
        Assert.Equal(train.InnerBytes, train.Length - (8 * train.Packets));
        Assert.All(datagrams, datagram => Assert.Equal(train.TrafficClass, datagram[8 + 15]));
    }

    private static InnerFrame Frame(int node, int port, int payload) => new()
    {
        Source = EgressLab.LocalV4,
        Destination = EgressLab.V4(node, 9),
        SourcePort = (ushort)port,
        Payload = new byte[payload],
    };
}
