using System.Net;
using Overlay.Agent.Configuration;
using Overlay.Agent.Forwarding;
using Overlay.Agent.Planning;
using Overlay.Agent.Pods;
using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Trials;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Explaining;

/// <summary>
/// Explains what would become of a packet, by taking it through the packet path on a copy of the snapshot in force. Any thread may ask.
/// </summary>
internal sealed class Explainer(Node node, PodWorker? pods)
{
    /// <exception cref="QuestionRefusedException">The question makes no sense here.</exception>
    public ExplanationDocument Explain(ExplainQuestion asked)
    {
        NodePlan plan;
        ForwardingSnapshot snapshot;
        EgressOptions options;
        lock (node.Structure)
        {
            plan = node.Plan;
            snapshot = node.Snapshot;
            options = QueueWorker.EgressOptionsOf(queue: 0, plan, node.Underlay);
        }
        snapshot = TrialSnapshot.Of(snapshot);
        EgressQuestion question = Compose(asked, plan, snapshot, options);
        EgressTrialResult result = Try(question, options);
        if (question.Filter is { Takes: false })
        {
            var refused = new EgressStages(question, result);
            return new ExplanationDocument(
                plan.Options.Node, snapshot.Revision, question.Segment.Name, FrameText.Of(question.Frame), "dropped", ExplanationDocument.PodFilter, refused.Tell(), null, [], [], []);
        }
        EgressTrialResult onWire = result.Trains.Any(train => train.Train.Kind == TrainKind.TunnelSuperPacket)
            ? Try(question with { Segment = TrialSnapshot.Of(snapshot).Segments[question.Segment.Index] }, options with { TunnelSuperPackets = TunnelOffload.None })
            : result;

        var stages = new EgressStages(question, result);
        IReadOnlyList<ExplanationStage> told = stages.Tell();
        string outcome = result.IsAnswered ? "answered" : result.Trains.Count > 0 ? "sent" : "dropped";
        (Peer Peer, OuterPacketDocument Packet)[] outer = [.. Outer(question, result, onWire)];
        return new ExplanationDocument(
            plan.Options.Node, snapshot.Revision, question.Segment.Name, FrameText.Of(question.Frame), outcome,
            result.Drop is { } drop ? DropReasons.Name(drop) : null, told, stages.Route, [.. outer.Select(each => each.Packet)],
            [.. result.Answers.Select(answer => new FrameDocument(FrameText.Of(answer), Convert.ToHexStringLower(answer)))],
            [.. outer.GroupBy(each => each.Peer).Select(each => Arrive(question, each.Key, [.. each.Select(to => Convert.FromHexString(to.Packet.Bytes))]))]);
    }

    /// <summary>What this node does with packets from the underlay.</summary>
    /// <exception cref="QuestionRefusedException">What is given is no packet.</exception>
    public ArrivalDocument ExplainArrival(ArrivalQuestion asked)
    {
        NodePlan plan = node.Plan;
        ForwardingSnapshot snapshot = TrialSnapshot.Of(node.Snapshot);
        return new Arrival(
            plan.Options.Node, "asked", snapshot,
            [.. plan.Options.Ports.Select(each => (each.Encapsulation, (ushort)each.Port))], plan.Options.UsesIpInIp,
            [.. plan.Underlay.Addresses.Select(IpBits.V6OrMapped)],
            plan.Options.Tunnel.ZeroChecksumIPv6.Any(each => each.Value == ChecksumDirection.Receive),
            segment => plan.Segments[segment.Index].Device).Tell([.. asked.Packets.Select(Bytes)]);
    }

    private static EgressTrialResult Try(EgressQuestion question, EgressOptions options) => EgressTrial.Run(
        options, question.Segment, question.Frame, question.Offload, new SendBatch(QueueWorker.TrainsPerBatch, QueueWorker.SlicesPerBatch));

    private EgressQuestion Compose(ExplainQuestion asked, NodePlan plan, ForwardingSnapshot snapshot, EgressOptions options)
    {
        PodAddress[] addresses = [.. Pods()];
        if (asked.Frame is { } text)
        {
            byte[] given = Bytes(text);
            if (given.Length > FrameBatch.MaxFrameLength)
                throw new QuestionRefusedException($"a frame of {given.Length} bytes is more than a device delivers, which is {FrameBatch.MaxFrameLength}");
            Segment its = Choose(asked.Segment, snapshot, Destination(given));
            VirtioNetHeader told = CapturedOffload.Of(given, its, asked.SegmentSize);
            return new EgressQuestion(plan, snapshot, its, given, told, options, addresses, Filter(asked.Interface, Source(given), plan, addresses));
        }
        IPAddress to = Address(asked.To, "destination") ?? throw new QuestionRefusedException("the destination is missing; give --to ADDRESS, or a frame");
        Segment segment = Choose(asked.Segment, snapshot, IpBits.V6OrMapped(to));
        SegmentPlan planned = plan.Segments[segment.Index];
        IPAddress from = Address(asked.From, "source") ?? planned.Addresses.Select(own => own.Address).FirstOrDefault(own => own.AddressFamily == to.AddressFamily)
            ?? throw new QuestionRefusedException($"{planned.Device} has no address of the family of {to}, so the source is not known; give --from ADDRESS");
        (byte[] frame, VirtioNetHeader offload) = new PacketComposer(asked, from, to).Compose(
            Mac(asked.ToMac) ?? DefaultDestination(segment, to), Mac(asked.FromMac) ?? segment.DeviceMac);
        return new EgressQuestion(plan, snapshot, segment, frame, offload, options, addresses, Filter(asked.Interface, from, plan, addresses));
    }

    /// <summary>What the kernel's packet filter, which live packets of pods go through, says of the source.</summary>
    private static SourceVerdict? Filter(string? hostInterface, IPAddress? source, NodePlan plan, PodAddress[] addresses)
    {
        if (plan.Options.Pods is not { } options)
        {
            return hostInterface is null ? null
                : throw new QuestionRefusedException($"this node wires no pods, so nothing looks at what comes by '{hostInterface}'; leave --by out");
        }
        if (hostInterface is not null && !Array.Exists(addresses, pod => pod.HostInterface == hostInterface))
            throw new QuestionRefusedException($"'{hostInterface}' is no pod's end on this host; 'overlay pods' lists them");
        if (source is null || (hostInterface ?? Array.Find(addresses, pod => pod.Address.Equals(source)).HostInterface) is not { } way) return null;
        return new SourceVerdict(way, PodFilter.Takes(source, way, options.Bridge is not null));
    }

    private IEnumerable<PodAddress> Pods() =>
        from attachment in pods?.Attachments ?? []
        from own in attachment.Addresses
        let owner = attachment.PodName is null ? attachment.Owner : $"pod {attachment.PodNamespace}/{attachment.PodName}"
        select new PodAddress(own.Parsed.Address, owner, attachment.HostInterface);

    private static Segment Choose(string? name, ForwardingSnapshot snapshot, UInt128? destination)
    {
        if (name is not null)
        {
            return Array.Find(snapshot.Segments, segment => segment.Name == name)
                ?? throw new QuestionRefusedException($"there is no segment '{name}'; 'overlay status' lists them");
        }
        if (snapshot.Segments.Length == 0) throw new QuestionRefusedException("this node has no segment yet; see 'overlay status'");
        if (snapshot.Segments.Length == 1) return snapshot.Segments[0];
        Segment? best = destination is not { } to ? null : snapshot.Segments
            .Where(segment => segment.Routes.Match(to) is not null).MaxBy(segment => segment.Routes.Match(to)!.Value.Length);
        return best ?? throw new QuestionRefusedException(
            $"no route tells which of the segments {string.Join(", ", snapshot.Segments.Select(segment => segment.Name))} the packet is of; give --segment NAME");
    }

    private static UInt128? Destination(byte[] frame)
    {
        if (InnerPacket.TryParse(frame, out InnerPacket packet) != WireStatus.Ok) return null;
        return packet.IsIpv4 ? IpBits.Mapped(packet.DestinationV4) : packet.IsIpv6 ? packet.DestinationV6 : null;
    }

    private static IPAddress? Source(byte[] frame) =>
        InnerPacket.TryParse(frame, out InnerPacket packet) == WireStatus.Ok && (packet.IsIpv4 || packet.IsIpv6) ? IpBits.ToAddress(packet.Source(frame)) : null;

    private static MacAddress DefaultDestination(Segment segment, IPAddress to)
    {
        UInt128 address = IpBits.V6OrMapped(to);
        if (segment.Bridge is { } bridge)
        {
            return bridge.TryFindRemote(address, bridge.Now, out BridgeNeighbour neighbour) ? neighbour.Mac
                : throw new QuestionRefusedException($"segment '{segment.Name}' is bridged and knows no neighbour {to}; give the destination's MAC with --to-mac");
        }
        // Every address behind the device has one that is not looked at; the peer's is as good as another.
        return segment.Peers.Length > 0 ? segment.Peers[0].Mac : segment.DeviceMac;
    }

    private static IEnumerable<(Peer, OuterPacketDocument)> Outer(EgressQuestion question, EgressTrialResult result, EgressTrialResult onWire)
    {
        TunnelOptions tunnel = question.Plan.Options.Tunnel;
        var writer = new OuterPacket(
            question.Options, !tunnel.Checksum, tunnel.ZeroChecksumIPv6.Any(each => each.Value == ChecksumDirection.Send));
        string encapsulation = EncapsulationNames.Of(question.Segment.Tunnel.Encapsulation);
        bool isInjected = !ReferenceEquals(result, onWire);
        foreach (TrialTrain train in onWire.Trains)
        {
            string way = train.Train.Protocol != 0 ? "raw" : isInjected ? "tunnel-gso" : train.Datagrams.Count > 1 ? "udp-gso" : "udp";
            for (int i = 0; i < train.Datagrams.Count; i++)
                yield return (train.Train.Peer, new OuterPacketDocument(train.Train.Peer.Name, way, encapsulation, Convert.ToHexStringLower(writer.Write(train, i))));
        }
    }

    private static ArrivalDocument Arrive(EgressQuestion question, Peer peer, byte[][] packets)
    {
        UInt128 local = peer.Endpoint.IsIPv4 ? IpBits.Mapped(question.Options.LocalV4) : question.Options.LocalV6;
        Segment segment = question.Segment;
        return new Arrival(
            peer.Name, "assumed", TrialSnapshot.AtPeer(segment, peer, new UnderlayEndpoint(local, peer.Endpoint.Port)),
            segment.Tunnel.IsIpInIp ? [] : [(segment.Tunnel.Encapsulation, peer.Endpoint.Port)], segment.Tunnel.IsIpInIp, [peer.Endpoint.Address],
            takesZeroV6: true, _ => "its device").Tell(packets);
    }

    private static IPAddress? Address(string? text, string what) => text is null ? null
        : IPAddress.TryParse(text, out IPAddress? address) ? address
        : throw new QuestionRefusedException($"the {what} '{text}' is no IP address");

    private static MacAddress? Mac(string? text) => text is null ? null
        : MacAddress.TryParse(text, out MacAddress mac) ? mac
        : throw new QuestionRefusedException($"'{text}' is no MAC address; write it as 02:00:00:00:00:01");

    private static byte[] Bytes(string text)
    {
        try
        {
            return Convert.FromHexString(text);
        }
        catch (FormatException exception)
        {
            throw new QuestionRefusedException($"bytes are written in hexadecimal: {exception.Message}");
        }
    }
}
