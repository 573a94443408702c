using System.Globalization;
using System.Net;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Agent.Status;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Trials;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Explaining;

/// <summary>An address that a pod of this node sends from.</summary>
/// <param name="Owner">The pod in words.</param>
/// <param name="HostInterface">The host's end of its link.</param>
internal readonly record struct PodAddress(IPAddress Address, string Owner, string HostInterface);

/// <summary>What the host's packet filter says of a packet on its way from a pod to the device.</summary>
/// <param name="HostInterface">That it comes by.</param>
/// <param name="Takes">Whether the source may come by it.</param>
internal sealed record SourceVerdict(string HostInterface, bool Takes);

/// <summary>A frame of a segment's device, and what it is tried on.</summary>
/// <param name="Plan">In force: says why.</param>
/// <param name="Snapshot">A copy of the one in force.</param>
/// <param name="Segment">Of <paramref name="Snapshot"/>.</param>
/// <param name="Offload">What the device says of the frame.</param>
/// <param name="Options">Of the workers.</param>
/// <param name="Pods">Of this node.</param>
/// <param name="Filter">Null where it is not known to come from a pod.</param>
internal sealed record EgressQuestion(
    NodePlan Plan, ForwardingSnapshot Snapshot, Segment Segment, byte[] Frame, VirtioNetHeader Offload, EgressOptions Options, IReadOnlyList<PodAddress> Pods,
    SourceVerdict? Filter)
{
    /// <summary>True where the host's packet filter looks at what pods send.</summary>
    public bool WiresPods => Plan.Options.Pods is not null;

    public RouteMatch? Lookup(FlowQuestion flow) => RouteLookup.Find(Plan, Snapshot, flow, Segment.Name) is { Matches: [var match, ..] } ? match : null;

    /// <summary>The first inner frame of a train; null of a tunnel super-packet, whose packets nobody has cut yet.</summary>
    public byte[]? InnerFrame(TrialTrain train)
    {
        if (train.Train.Kind == TrainKind.TunnelSuperPacket) return null;
        byte[] inner = train.Datagrams[0][Segment.HeaderLength..];
        if (!Segment.Tunnel.IsBareIp) return inner;
        byte[] frame = new byte[EthernetFrame.MinHeaderLength + inner.Length];
        EthernetFrame.WriteHeader(frame, default, default, inner[0] >> 4 == 4 ? EtherTypes.Ipv4 : EtherTypes.Ipv6);
        inner.CopyTo(frame, EthernetFrame.MinHeaderLength);
        return frame;
    }

    /// <summary>How a train leaves, in words.</summary>
    public string Way(TrialTrain train)
    {
        DatagramTrain how = train.Train;
        UnderlayEndpoint to = how.Peer.Endpoint;
        IPAddress local = to.IsIPv4 ? IpBits.ToAddress(IpBits.Mapped(Options.LocalV4)) : IpBits.ToAddress(Options.LocalV6);
        string from = how.Protocol != 0 ? local.ToString() : new IPEndPoint(local, Options.SourcePorts[how.SourcePortIndex]).ToString();
        string remote = how.Protocol != 0 ? IpBits.ToAddress(to.Address).ToString() : to.ToString();
        string hops = FrameText.Number(how.TimeToLive == 0 ? Options.TimeToLive : how.TimeToLive);
        string fragments = how.MayFragment ? "may be fragmented" : "not to be fragmented";
        string classes = string.Create(CultureInfo.InvariantCulture, $"DSCP {how.TrafficClass >> 2}, ECN {FrameText.Ecn(how.TrafficClass)}");
        return $"{EncapsulationNames.Of(Segment.Tunnel)}{Vni()} to {how.Peer.Name}: {from} > {remote}, TTL {hops}, {classes}, {fragments}";
    }

    private string Vni() => Segment.Vni == Segment.NoVni ? "" : $" VNI {FrameText.Number(Segment.Vni)}";
}
