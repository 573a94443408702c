using System.Diagnostics.Metrics;
using System.Globalization;
using Overlay.Agent.Forwarding;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Linux.Underlay;

namespace Overlay.Agent.Metrics;

/// <summary>What the workers count, read when somebody asks. Peers and segments beyond a limit share a series, so that there are never too many.</summary>
internal sealed class TrafficMetrics
{
    /// <summary>Stands for datagrams that belong to no segment.</summary>
    public const string NoSegment = "(none)";

    /// <summary>Stands for those beyond the limit.</summary>
    public const string Others = "(others)";

    private const int MostSegments = 256;
    private const string Egress = "egress";
    private const string Ingress = "ingress";

    private readonly Node _node;
    private readonly int _peerLimit;

    /// <param name="meter">Gets the instruments.</param>
    /// <param name="node">Whose traffic it is.</param>
    /// <param name="peerLimit">Most peers with series of their own.</param>
    public TrafficMetrics(Meter meter, Node node, int peerLimit)
    {
        _node = node;
        _peerLimit = peerLimit;
        AddSegments(meter);
        AddPeers(meter);
        AddQueues(meter);
    }

    /// <summary>Most series of an instrument: what is bounded here is all exported, and nothing else has more than the exporters' own bound.</summary>
    public static int MostSeries(string instrument, int peerLimit)
    {
        const int other = 2000;
        int segments = MostSegments + 2;
        return Math.Max(other, instrument switch
        {
            "overlay.dropped.packets" => segments * DropReasons.All.Count,
            "overlay.segment.super_packets" => segments * 2 * SuperPacketSizes.Classes,
            _ when instrument.StartsWith("overlay.peer.", StringComparison.Ordinal) => 2 * (peerLimit + 1),
            _ => 0,
        });
    }

    private void AddSegments(Meter meter)
    {
        Counter(meter, "overlay.segment.packets", "{packet}", "Packets that came to and left the daemon, as they are on the wire.", ["segment", "direction", "point"], (tally, name, counters) =>
            Points(tally, name, counters, traffic => traffic.Packets));
        Counter(meter, "overlay.segment.bytes", "By", "Bytes of the inner frames of those packets.", ["segment", "direction", "point"], (tally, name, counters) =>
            Points(tally, name, counters, traffic => traffic.Bytes));
        Counter(meter, "overlay.segment.super_packets", "{packet}", "Super-packets exchanged with the device, by size class: the label is the most bytes.", ["segment", "direction", "size"], Sizes);
        Counter(meter, "overlay.segment.answered", "{packet}", "ARP requests and neighbour solicitations answered by the daemon.", ["segment"], (tally, name, counters) => tally.Add(counters.EgressAnswered, name));
        Counter(meter, "overlay.segment.replicated", "{packet}", "Further copies of packets that went to several peers.", ["segment"], (tally, name, counters) => tally.Add(counters.EgressReplicated, name));
        Counter(meter, "overlay.segment.icmp_errors", "{packet}", "ICMP errors told to senders on this side.", ["segment"], (tally, name, counters) => tally.Add(counters.IcmpErrors, name));
        Counter(meter, "overlay.bridge.mac_moves", "{move}", "Source MAC addresses that were known elsewhere before.", ["segment"], (tally, name, counters) => tally.Add(counters.MacMoves, name));
        Counter(meter, "overlay.bridge.not_learned", "{packet}", "Packets whose MAC address or neighbour was not learned for want of room.", ["segment", "kind"], (tally, name, counters) =>
        {
            tally.Add(counters.MacsNotLearned, name, "mac");
            tally.Add(counters.NeighboursNotLearned, name, "neighbour");
        });
        Counter(meter, "overlay.dropped.packets", "{packet}", "Packets that went no further, each counted once, by reason.", ["segment", "reason"], (tally, name, counters) =>
        {
            foreach (DropReason reason in DropReasons.All) tally.Add(counters.Drops[(int)reason], name, DropReasons.Name(reason));
        });
    }

    private static void Points(Tally tally, string segment, QueueCounters counters, Func<TrafficCounters, long> count)
    {
        tally.Add(count(counters.IngressIn), segment, Ingress, "in");
        // What belongs to no segment comes from the underlay, and goes nowhere.
        if (segment == NoSegment) return;
        tally.Add(count(counters.EgressIn), segment, Egress, "in");
        tally.Add(count(counters.EgressOut), segment, Egress, "out");
        tally.Add(count(counters.IngressOut), segment, Ingress, "out");
    }

    private static void Sizes(Tally tally, string segment, QueueCounters counters)
    {
        if (segment == NoSegment) return;
        for (int i = 0; i < SuperPacketSizes.Classes; i++)
        {
            string size = SuperPacketSizes.MostBytes(i).ToString(CultureInfo.InvariantCulture);
            tally.Add(counters.EgressSizes[i], segment, Egress, size);
            tally.Add(counters.IngressSizes[i], segment, Ingress, size);
        }
    }

    private void AddPeers(Meter meter)
    {
        OfPeers(meter, "overlay.peer.packets", "{packet}", "Packets sent to and received from a peer.", traffic => traffic.Packets);
        OfPeers(meter, "overlay.peer.bytes", "By", "Bytes of the inner frames of those packets.", traffic => traffic.Bytes);
        OfPeers(meter, "overlay.peer.super_packets", "{packet}", "Super-packets that carried some of them.", traffic => traffic.SuperPackets);
        meter.CreateObservableCounter("overlay.peer.dropped", () => OverPeers(["peer", "direction"], (tally, label, peer) =>
        {
            for (int queue = 0; queue < peer.Traffic.Queues; queue++)
            {
                foreach (DropReason reason in DropReasons.All)
                    tally.Add(peer.Traffic.Dropped(queue, reason), label, DropReasons.IsEgress(reason) ? Egress : Ingress);
            }
        }), "{packet}", "Packets to and from a peer that were dropped.");
        meter.CreateObservableCounter("overlay.peer.probes", () => OverPeers(["peer", "state"], (tally, label, peer) =>
        {
            tally.Add(peer.Path.Report.ProbesSent, label, "sent");
            tally.Add(peer.Path.Report.ProbesAnswered, label, "answered");
        }), "{probe}", "Probes of the path to a peer.");
        Gauge(meter, "overlay.peer.path_mtu", "By", "Most bytes of an outer IP packet on the path to a peer.", peer => peer.Path.Mtu == PeerPath.Unlimited ? null : peer.Path.Mtu);
        Gauge(meter, "overlay.peer.link_mtu", "By", "What this host's interfaces and routes to a peer allow.", peer => peer.Path.LinkMtu == PeerPath.Unlimited ? null : peer.Path.LinkMtu);
        Gauge(meter, "overlay.peer.black_hole", null, "1 where large packets to a peer are lost without an ICMP error.", peer => peer.Path.Report.IsBlackHole ? 1 : 0);
        Gauge(meter, "overlay.peer.round_trip", "s", "Time of probes to a peer and back, smoothed.", peer => peer.Path.Report.RoundTripMilliseconds / 1000);
        meter.CreateObservableGauge("overlay.peers", () => _node.Snapshot.Peers.All.Count, null, "Peers that are known.");
        meter.CreateObservableGauge("overlay.routes", () => _node.Plan.State.Routes.Count, null, "Routes that are in force.");
    }

    private void OfPeers(Meter meter, string name, string unit, string description, Func<TrafficCounters, long> count) =>
        meter.CreateObservableCounter(name, () => OverPeers(["peer", "direction"], (tally, label, peer) =>
        {
            for (int queue = 0; queue < peer.Traffic.Queues; queue++)
            {
                tally.Add(count(peer.Traffic.Egress(queue)), label, Egress);
                tally.Add(count(peer.Traffic.Ingress(queue)), label, Ingress);
            }
        }), unit, description);

    private IEnumerable<Measurement<long>> OverPeers(string[] tags, Action<Tally, string, Peer> add)
    {
        var tally = new Tally(tags);
        foreach ((Peer peer, bool isOwn) in Peers()) add(tally, isOwn ? peer.Name : Others, peer);
        return tally.Measurements();
    }

    private void Gauge(Meter meter, string name, string? unit, string description, Func<Peer, double?> value) => meter.CreateObservableGauge(
        name,
        () => Peers().Where(each => each.IsOwn && value(each.Peer) is not null)
            .Select(each => new Measurement<double>(value(each.Peer) ?? 0, new KeyValuePair<string, object?>("peer", each.Peer.Name))),
        unit, description);

    /// <summary>Which have series of their own depends on nothing but the names, so that series last.</summary>
    private IEnumerable<(Peer Peer, bool IsOwn)> Peers() =>
        _node.Snapshot.Peers.All.OrderBy(peer => peer.Name, StringComparer.Ordinal).Select((peer, index) => (peer, index < _peerLimit));

    private void AddQueues(Meter meter)
    {
        OfQueues(meter, "overlay.queue.batches", "{batch}", "Reads of the devices, and receives, that brought something.", batches => (batches.EgressBatches, batches.IngressBatches));
        OfQueues(meter, "overlay.queue.batch_items", "{item}", "Frames, and trains of datagrams, that they brought.", batches => (batches.EgressFrames, batches.IngressTrains));
        meter.CreateObservableGauge("overlay.queue.batch_limit", () => new[]
        {
            new Measurement<int>(QueueWorker.FramesPerBatch, new KeyValuePair<string, object?>("direction", Egress)),
            new Measurement<int>(QueueWorker.ReceivesPerBatch, new KeyValuePair<string, object?>("direction", Ingress)),
        }, null, "Most items of a batch.");
        meter.CreateObservableGauge("overlay.queue.socket_used", () => OverSockets(memory => memory.Used), "By", "Bytes that wait in the receive buffers of a queue's sockets.");
        meter.CreateObservableGauge("overlay.queue.socket_limit", () => OverSockets(memory => memory.Limit), "By", "Bytes that those buffers take.");
        meter.CreateObservableCounter("overlay.queue.socket_overruns", () => OverSockets(memory => memory.Overruns), "{datagram}", "Datagrams that the kernel dropped because those buffers were full.");
    }

    private void OfQueues(Meter meter, string name, string unit, string description, Func<BatchCounters, (long Egress, long Ingress)> count) =>
        meter.CreateObservableCounter(name, () =>
        {
            var tally = new Tally("queue", "direction");
            for (int queue = 0; queue < _node.Counters.Count; queue++)
            {
                (long egress, long ingress) = count(_node.Counters[queue].Batches);
                tally.Add(egress, Number(queue), Egress);
                tally.Add(ingress, Number(queue), Ingress);
            }
            return tally.Measurements();
        }, unit, description);

    private IEnumerable<Measurement<long>> OverSockets(Func<SocketMemory, long> value)
    {
        var tally = new Tally("queue");
        // Held while sockets are exchanged for others.
        lock (_node.Structure)
        {
            IReadOnlyList<QueueUnderlay> queues = _node.Underlay.Queues;
            for (int queue = 0; queue < queues.Count; queue++)
            {
                foreach (int descriptor in queues[queue].ReceiveDescriptors) tally.Add(value(SocketMemory.Of(descriptor)), Number(queue));
            }
        }
        return tally.Measurements();
    }

    private void Counter(Meter meter, string name, string unit, string description, string[] tags, Action<Tally, string, QueueCounters> add) =>
        meter.CreateObservableCounter(name, () =>
        {
            var tally = new Tally(tags);
            lock (_node.Structure)
            {
                foreach (QueueCounterSet queue in _node.Counters)
                {
                    for (int i = 0; i < queue.BySegment.Length; i++) add(tally, i < MostSegments ? _node.Plan.Segments[i].Name : Others, queue.BySegment[i]);
                    add(tally, NoSegment, queue.Unassigned);
                }
            }
            return tally.Measurements();
        }, unit, description);

    private static string Number(int number) => number.ToString(CultureInfo.InvariantCulture);
}
