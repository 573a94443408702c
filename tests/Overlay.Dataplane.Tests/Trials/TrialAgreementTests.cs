using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Trials;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Trials;

/// <summary>What a trial says of a packet is what the packet path then does with it.</summary>
public sealed class TrialAgreementTests
{
    private const int Nodes = 250;
    private const int PacketsPerNode = 40;

    [Fact]
    public void Run_AnyPacketAnyConfiguration_AgreesWithTheLivePath()
    {
        var seen = new HashSet<DropReason>();
        int sent = 0, delivered = 0;
        Seeded.Check(Nodes, random =>
        {
            var node = new RandomNode(random);
            var live = new LiveNode(node);
            for (int i = 0; i < PacketsPerNode; i++)
            {
                byte[] frame = node.Frame(out VirtioNetHeader offload);
                EgressTrialResult trial = EgressTrial.Run(
                    node.Options, TrialSnapshot.Of(node.Snapshot).Segments[0], frame, offload, new SendBatch(LiveNode.Trains, LiveNode.Slices));
                List<SentTrain> trains = live.Send(frame, offload, out long[] drops, out long answered);

                Assert.Equal(drops, trial.Counters.Drops.ToArray());
                Assert.Equal(answered > 0, trial.IsAnswered);
                if (trial.Drop is { } reason) seen.Add(reason);
                Assert.Equal(trains.Select(Described), trial.Trains.Select(train => Described(train.Train)));
                var writer = new OuterPacket(node.Options, zeroChecksumV4: false, zeroChecksumV6: false);
                Assert.Equal(trains.SelectMany(train => Packets(train, writer)), trial.Trains.SelectMany(train => Packets(train, writer)));
                sent += trains.Count;
                delivered += CheckArrival(node, trains, seen);
            }
        });
        // What the generator no longer reaches would be agreed on without being tried.
        Assert.InRange(sent, Nodes * PacketsPerNode / 4, int.MaxValue);
        Assert.InRange(delivered, Nodes * PacketsPerNode / 8, int.MaxValue);
        Assert.InRange(seen.Count(reason => reason < DropReason.IngressMalformed), 12, int.MaxValue);
        Assert.InRange(seen.Count(reason => reason >= DropReason.IngressMalformed), 5, int.MaxValue);
    }

    [Fact]
    public void Run_OnACopy_LeavesTheSnapshotInForceAsItWas()
    {
        var random = new Random(1);
        RandomNode node;
        do node = new RandomNode(random);
        while (node.Segment.Bridge?.Learned is null);
        ForwardingSnapshot copy = TrialSnapshot.Of(node.Snapshot);
        for (int i = 0; i < 200; i++)
        {
            byte[] frame = node.Frame(out VirtioNetHeader offload);
            EgressTrial.Run(node.Options, copy.Segments[0], frame, offload, new SendBatch(LiveNode.Trains, LiveNode.Slices));
        }

        Assert.NotEmpty(copy.Segments[0].Bridge!.ListLearned());
        Assert.Empty(node.Segment.Bridge!.ListLearned());
        Assert.All(node.Snapshot.Peers.All, peer => Assert.Equal(0, peer.Traffic.Egress(0).Packets));
    }

    /// <returns>Frames that were delivered.</returns>
    private static int CheckArrival(RandomNode node, List<SentTrain> trains, HashSet<DropReason> seen)
    {
        SentTrain[] datagrams = [.. trains.Where(train => train.Train.Kind == TrainKind.Datagrams)];
        if (datagrams.Length == 0) return 0;
        Peer peer = datagrams[0].Train.Peer;
        ForwardingSnapshot there = node.At(peer);
        ArrivedDatagram[] arrived =
        [
            .. from train in datagrams
               where train.Train.Peer == peer
               from datagram in train.Datagrams
               select new ArrivedDatagram(
                   there.Segments[0].Peers[0].Endpoint, datagram, train.Train.TrafficClass, node.Segment.Tunnel.Encapsulation, train.Train.Protocol),
        ];
        IngressTrialResult trial = IngressTrial.Run(TrialSnapshot.Of(there), arrived);
        (List<MemoryFrame> frames, Dictionary<DropReason, long> drops) = LiveNode.Receive(there, arrived);

        Assert.Equal(frames.Select(frame => Convert.ToHexString(frame.Bytes)), trial.Frames.Select(frame => Convert.ToHexString(frame.Bytes)));
        Assert.Equal(frames.Select(frame => frame.Offload), trial.Frames.Select(frame => frame.Offload));
        Assert.Equal(drops.OrderBy(each => each.Key).Select(each => (each.Key, each.Value)), trial.Drops);
        seen.UnionWith(drops.Keys);
        return frames.Count;
    }

    private static string Described(SentTrain sent) => Described(sent.Train);

    private static string Described(DatagramTrain train) => string.Join(
        ' ', train.Peer.Name, train.Kind, train.SourcePortIndex, train.TrafficClass, train.TimeToLive, train.MayFragment, train.Protocol, train.EncapsulationLimit,
        train.Packets, train.SegmentSize, train.Length, train.InnerBytes);

    private static IEnumerable<string> Packets(SentTrain sent, OuterPacket writer) =>
        Packets(new TrialTrain(sent.Train, sent.Train.Kind == TrainKind.Datagrams ? [.. sent.Datagrams] : [sent.Bytes]), writer);

    private static IEnumerable<string> Packets(TrialTrain train, OuterPacket writer) =>
        Enumerable.Range(0, train.Datagrams.Count).Select(index => Convert.ToHexString(writer.Write(train, index)));

    /// <summary>The packet path of a node as a worker runs it, with all that lasts.</summary>
    private sealed class LiveNode(RandomNode node)
    {
        public const int Trains = 512;
        public const int Slices = 4096;

        private readonly EgressPath _path = new(node.Options);
        private readonly FrameBatch _input = new(new PacketMemory(1 << 20), node.Segment.Headroom, 256, superPacketLimit: 8);
        private readonly SendBatch _output = new(Trains, Slices);
        private readonly GatherBatch _answers = new(256, 256);
        private readonly QueueCounters _counters = new();
        private readonly MemoryFrameDevice _device = new();
        private readonly MemoryUnderlay _underlay = new();

        public List<SentTrain> Send(byte[] frame, VirtioNetHeader offload, out long[] drops, out long answered)
        {
            long[] before = _counters.Drops.ToArray();
            answered = -_counters.EgressAnswered;
            _underlay.Sent.Clear();
            _device.Deliver(frame, offload);
            _device.Read(_input);
            for (int next = 0; next < _input.Count; _output.Clear())
            {
                next = _path.Process(_input, next, node.Segment, _output, _answers, _counters);
                _underlay.Send(_output);
                _path.Account(_output, _counters);
            }
            _device.Write(_answers);
            _answers.Clear();
            _input.Clear();
            drops = [.. _counters.Drops.ToArray().Zip(before, (after, earlier) => after - earlier)];
            answered += _counters.EgressAnswered;
            return [.. _underlay.Sent];
        }

        public static (List<MemoryFrame> Frames, Dictionary<DropReason, long> Drops) Receive(ForwardingSnapshot snapshot, ArrivedDatagram[] datagrams)
        {
            var underlay = new MemoryUnderlay();
            foreach (ArrivedDatagram datagram in datagrams)
            {
                underlay.Incoming.Enqueue(new IncomingTrain(
                    datagram.Source, datagram.Payload, datagram.Payload.Length, datagram.TrafficClass, datagram.Encapsulation, datagram.Protocol));
            }
            var received = new ReceiveBatch(16);
            var counters = new QueueCounters();
            var unassigned = new QueueCounters();
            var port = new IngressPort(16, counters);
            var device = new MemoryFrameDevice();
            var path = new IngressPath(0);
            while (underlay.Receive(received) > 0)
            {
                path.Process(received, snapshot, [port], unassigned);
                device.Write(port.Frames);
                port.Account();
            }
            Dictionary<DropReason, long> drops = DropReasons.All
                .Select(reason => (reason, Count: counters.Drops[(int)reason] + unassigned.Drops[(int)reason]))
                .Where(each => each.Count > 0).ToDictionary(each => each.reason, each => each.Count);
            return (device.Written, drops);
        }
    }
}
