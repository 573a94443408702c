using System.Net;
using Overlay.Agent.Status;
using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Trials;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Explaining;

/// <summary>
/// Tells what the way out did with a frame, stage by stage: what each found is read from what came out, or asked of the function that the packet
/// path asks; nothing is decided here.
/// </summary>
/// <param name="trial">What is told about.</param>
/// <param name="result">What came of it.</param>
internal sealed class EgressStages(EgressQuestion trial, EgressTrialResult result)
{
    private readonly StageList _stages = new(result.Trains.Count == 0 ? result.Drop : null, result.IsAnswered);
    private readonly InnerPacket _packet = Parse(trial.Frame, trial.Segment.Bridge is not null);

    /// <summary>Of the destination; null in a bridged segment, where there is none, and for what is not IP.</summary>
    public RouteMatch? Route { get; private set; }

    public IReadOnlyList<ExplanationStage> Tell()
    {
        _ = Parsed() && Source() && Neighbour() && Forward() && Entry() && Mtu() && Checksum() && Offload() && Egress();
        return _stages.All;
    }

    private static InnerPacket Parse(byte[] frame, bool isBridged)
    {
        InnerPacket packet;
        if (isBridged) InnerPacket.TryParseFrame(frame, out packet);
        else InnerPacket.TryParse(frame, out packet);
        return packet;
    }

    private bool IsIp => _packet.IsIpv4 || _packet.IsIpv6;

    private int Segments => IsIp && OffloadRequest.IsConsistent(trial.Offload, _packet, out int segments) ? segments : 1;

    private bool IsQuestion => _packet.EtherType == EtherTypes.Arp || FrameText.Of(trial.Frame).EndsWith("neighbour solicitation", StringComparison.Ordinal);

    private bool Parsed()
    {
        if (_stages.Ends(EgressStage.Parse)) return false;
        string flow = IsIp ? $"; flow hash 0x{_packet.FlowHash:x8}" : "";
        string super = Segments > 1 ? $", super-packet of {FrameText.Number(Segments)} segments with up to {FrameText.Number(trial.Offload.SegmentSize)} bytes of payload" : "";
        return _stages.Ok(
            EgressStage.Parse, $"{FrameText.Of(trial.Frame)}{flow}",
            $"Ethernet {new MacAddress(trial.Frame.AsSpan(MacAddress.Length))} > {new MacAddress(trial.Frame)}, headers {FrameText.Number(_packet.HeadersEnd)} bytes{super}");
    }

    private bool Source()
    {
        if (_stages.Ends(EgressStage.Source)) return false;
        if (trial.Segment.Bridge is { } bridge)
        {
            ulong mac = MacBits.Source(trial.Frame);
            string known = bridge.Static.TryGetValue(mac, out int at) ? at == MacTable.Local ? "fixed to this node" : "fixed to a peer" : "fixed nowhere, and learned here";
            return _stages.Ok(EgressStage.Source, $"source MAC {MacBits.ToAddress(mac)} is {known}");
        }
        if (!IsIp) return true;
        IPAddress source = IpBits.ToAddress(_packet.Source(trial.Frame));
        PodAddress pod = trial.Pods.FirstOrDefault(pod => pod.Address.Equals(source));
        string whose = pod.Owner is null ? "no pod's of this node" : $"{pod.Owner}'s, behind {pod.HostInterface}";
        if (trial.Filter is { } filter)
        {
            return filter.Takes
                ? _stages.Ok(EgressStage.Source, $"{source} is {whose}; the host's packet filter takes it from {filter.HostInterface}")
                : _stages.Refused(EgressStage.Source, $"{source} is {whose}; the host's packet filter does not take it from {filter.HostInterface} ({ExplanationDocument.PodFilter})");
        }
        return _stages.None(
            EgressStage.Source, trial.WiresPods
                ? $"{source} is no pod's of this node: the host's packet filter drops it at a pod's interface (--by), and takes it from elsewhere"
                : "a routed segment takes any source from its device");
    }

    private bool Neighbour()
    {
        if (_stages.Ends(EgressStage.Neighbour)) return false;
        if (!result.IsAnswered) return trial.Segment.Bridge is null || !IsQuestion || _stages.None(EgressStage.Neighbour, "asked of the peers");
        return _stages.Answered(EgressStage.Neighbour, string.Join("; ", result.Answers.Select(answer => FrameText.Of(answer))));
    }

    private bool Forward()
    {
        if (trial.Segment.Bridge is { } bridge) return ForwardByMac(bridge);
        if (IsIp) Route = trial.Lookup(Flow());
        string[] lost = [.. (Route?.Others ?? []).Select(other => $"not in force: {other.Prefix} to {other.To} ({SourceOf(other)}): {other.Reason}")];
        string? found = Route is { } match ? $"{match.Route.Prefix} to {match.Route.To}, {SourceOf(match.Route)}, priority {match.Route.Priority}, metric {FrameText.Number(match.Route.Metric)}: {match.Route.Reason}" : null;
        if (_stages.Ends(EgressStage.Route, [.. found is null ? [] : (string[])[found], .. lost, .. Told()])) return false;
        if (Route is { Way: "direct" })
            lost = [.. lost, $"{Route.WayOut}: the kernel sends such packets itself; what follows holds for those that reach the device all the same"];
        if (found is not null) _stages.Ok(EgressStage.Route, found, lost);
        return Choice();
    }

    private FlowQuestion Flow()
    {
        UInt128 to = _packet.IsIpv4 ? IpBits.Mapped(_packet.DestinationV4) : _packet.DestinationV6;
        ReadOnlySpan<byte> ports = _packet.HasTransport ? trial.Frame.AsSpan(_packet.TransportOffset, 4) : [0, 0, 0, 0];
        return new FlowQuestion(
            IpBits.ToAddress(to), IpBits.ToAddress(_packet.Source(trial.Frame)), _packet.Protocol,
            (ushort)((ports[0] << 8) | ports[1]), (ushort)((ports[2] << 8) | ports[3]));
    }

    private bool Choice()
    {
        if (result.Trains.Count == 0) return true;
        Peer peer = result.Trains[0].Train.Peer;
        int value = trial.Segment.Route(_packet);
        if (!IsIp || value == RouteTable.NoRoute || RouteTarget.Of(value) is not { Action: RouteAction.Group } target)
            return _stages.None(EgressStage.Choice, $"{peer.Name} is the only peer of the route");
        PeerGroup group = trial.Segment.Groups[target.Index];
        string weights = string.Join(", ", group.Members.Select(member => $"{member.Name} weight {FrameText.Number(member.Weight)}"));
        return _stages.Ok(EgressStage.Choice, $"{peer.Name}, by bucket {FrameText.Number(PeerGroup.BucketOf(_packet.FlowHash))} of the flow's hash", $"of {weights}");
    }

    private bool ForwardByMac(Bridge bridge)
    {
        if (_stages.Ends(EgressStage.Route)) return false;
        ulong destination = MacBits.Destination(trial.Frame);
        string[] peers = [.. result.Trains.Select(train => train.Train.Peer.Name).Distinct()];
        string how = MacBits.IsGroup(destination) ? "is a group's, flooded" : bridge.Find(destination, bridge.Now) == MacTable.Unknown ? "is known nowhere, flooded" : "is known";
        return _stages.Ok(EgressStage.Route, $"destination MAC {MacBits.ToAddress(destination)} {how}: to {string.Join(", ", peers)}");
    }

    private bool Entry()
    {
        if (_stages.Ends(EgressStage.Entry, Told())) return false;
        if (result.Trains is not [var first, ..] || first.Train.Protocol == 0) return true;
        return _stages.Ok(
            EgressStage.Entry, "may enter an IP-in-IP tunnel",
            first.Train.EncapsulationLimit == DatagramTrain.NoLimit ? [] : [$"tunnel encapsulation limit {FrameText.Number(first.Train.EncapsulationLimit)}"]);
    }

    private bool Mtu()
    {
        int length = _packet.End - _packet.NetworkOffset;
        int asked = trial.Offload.SegmentSize > 0 && Segments > 1 ? _packet.HeadersEnd - _packet.NetworkOffset + trial.Offload.SegmentSize : length;
        string size = Segments > 1 ? $"segments of {FrameText.Number(asked)} bytes" : $"{FrameText.Number(length)} bytes";
        if (_stages.Ends(EgressStage.Mtu, [$"{size}; {Room(RoutePeer())}", .. Told()])) return false;
        if (result.Trains.Count == 0) return true;
        DatagramTrain train = result.Trains[0].Train;
        string room = Room(train.Peer);
        if (_packet.EtherType == EtherTypes.Arp) return true;
        var details = new List<string>();
        bool isClamped = false;
        if (FrameText.MssOf(trial.Frame, _packet) is { } offered)
        {
            int? left = InnerOf(0) is { } inner && InnerPacket.TryParse(inner, out InnerPacket sent) == WireStatus.Ok ? FrameText.MssOf(inner, sent) : null;
            isClamped = left != offered;
            details.Add(!isClamped ? $"MSS {FrameText.Number(offered)} fits" : $"MSS {FrameText.Number(offered)} lowered to {FrameText.Number(left ?? 0)}");
        }
        details.AddRange(Told());
        int packets = result.Trains.Where(each => each.Train.Peer == train.Peer).Sum(each => each.Train.Packets);
        if (result.Drop is { } drop) details.Add($"a copy was dropped: {DropReasons.Meaning(drop)}");
        if (train.MayFragment) return _stages.Changed(EgressStage.Mtu, $"{size}; {room}: IPv6 of no more than 1280 bytes, so the outer packets may be fragmented", [.. details]);
        if (packets > Segments && Segments == 1) return _stages.Changed(EgressStage.Mtu, $"{size}; {room}: in {FrameText.Number(packets)} fragments before encapsulation", [.. details]);
        if (packets > Segments) return _stages.Changed(EgressStage.Mtu, $"{size}; {room}: cut into {FrameText.Number(packets)} packets instead", [.. details]);
        return isClamped ? _stages.Changed(EgressStage.Mtu, $"{size}; {room}", [.. details]) : _stages.Ok(EgressStage.Mtu, $"{size}; {room}", [.. details]);
    }

    private Peer? RoutePeer()
    {
        if (!IsIp || trial.Segment.Bridge is not null) return null;
        int index = trial.Segment.PeerOf(trial.Segment.Route(_packet), _packet.FlowHash);
        return index < 0 ? null : trial.Segment.Peers[index];
    }

    private string Room(Peer? peer)
    {
        if (peer is null) return "more than the way to the peer carries";
        if (peer.Path.Mtu == Dataplane.Mtu.PeerPath.Unlimited) return $"the way to {peer.Name} is not known to be limited";
        int outer = trial.Segment.OuterLengthTo(peer) + trial.Segment.PrefixLength;
        return $"{FrameText.Number(peer.Path.Mtu - outer)} pass to {peer.Name} in one piece (path {FrameText.Number(peer.Path.Mtu)}, headers {FrameText.Number(outer)})";
    }

    private bool Checksum()
    {
        if (result.Trains.Count == 0 || !IsIp || !_packet.HasTransport) return true;
        string name = FrameText.Protocol(_packet);
        bool wasUnfinished = (trial.Offload.Flags & VirtioNetFlags.NeedsChecksum) != 0;
        if (result.Trains[0].Train.Kind == TrainKind.TunnelSuperPacket) return _stages.Ok(EgressStage.Checksum, $"{name} checksums are finished by the kernel as it cuts the super-packet");
        if (InnerOf(0) is not { } inner || InnerPacket.TryParseFrame(inner, out InnerPacket sent) != WireStatus.Ok || !sent.HasTransport)
            return _stages.None(EgressStage.Checksum, $"of fragments the {name} checksum covers the whole");
        ushort value = (ushort)((inner[sent.TransportOffset + Field(sent)] << 8) | inner[sent.TransportOffset + Field(sent) + 1]);
        string verdict = ChecksumText.Of(inner, sent) switch { true => "right", false => "wrong: the receiver will drop it", null => "none" };
        return wasUnfinished
            ? _stages.Changed(EgressStage.Checksum, $"{name} checksum, left to us by the device, finished: 0x{value:x4}, {verdict}")
            : _stages.Ok(EgressStage.Checksum, $"{name} checksum 0x{value:x4} as it came: {verdict}");
    }

    private static int Field(in InnerPacket packet) => packet.Protocol == IpProtocols.Tcp ? TcpHeader.ChecksumOffset : UdpHeader.ChecksumOffset;

    private bool Offload()
    {
        if (result.Trains.Count == 0) return true;
        int packets = result.Trains.Sum(train => train.Train.Packets);
        int supers = result.Trains.Count(train => train.Train.Kind == TrainKind.TunnelSuperPacket);
        if (supers > 0)
            return _stages.Ok(EgressStage.Offload, $"{FrameText.Number(packets)} packets leave as {FrameText.Number(supers)} tunnel super-packet{(supers > 1 ? "s" : "")}, which the kernel cuts (tunnel-gso)");
        if (packets == 1) return _stages.None(EgressStage.Offload, "one packet, one datagram");
        if (result.Trains[0].Train.Protocol != 0) return _stages.Ok(EgressStage.Offload, $"{FrameText.Number(packets)} packets, a message each (raw)");
        return _stages.Ok(EgressStage.Offload, $"{FrameText.Number(packets)} datagrams in {FrameText.Number(result.Trains.Count)} train{(result.Trains.Count > 1 ? "s" : "")}, cut by UDP_SEGMENT (udp-gso)");
    }

    private bool Egress()
    {
        if (_stages.Ends(EgressStage.Egress)) return false;
        foreach (TrialTrain train in result.Trains.DistinctBy(train => (train.Train.Peer.Name, train.Train.SourcePortIndex)))
            _stages.Ok(EgressStage.Egress, trial.Way(train));
        return true;
    }

    private byte[]? InnerOf(int train) => trial.InnerFrame(result.Trains[train]);

    private string[] Told() => result.Counters.IcmpErrors == 0 ? [] : [.. result.Answers.Select(answer => $"the sender is told: {FrameText.Of(answer)}")];

    private static string SourceOf(RouteStatus route) => route.Line is { } line ? $"{route.Source} line {FrameText.Number(line)}" : route.Source;
}
