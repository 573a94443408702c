namespace Overlay.Dataplane.Counters;

/// <summary>
/// The name and meaning of every <see cref="DropReason"/>, in one table. Names are stable: scripts and dashboards read them.
/// </summary>
public static class DropReasons
{
    private static readonly (string Name, string Meaning)[] Table = Build();

    /// <summary>Every reason, in the order of its index.</summary>
    public static IReadOnlyList<DropReason> All { get; } = Enum.GetValues<DropReason>();

    /// <summary>Whether it is one of the way out.</summary>
    public static bool IsEgress(DropReason reason) => reason < DropReason.IngressMalformed;

    public static string Name(DropReason reason) => Table[(int)reason].Name;

    /// <summary>What happened to the packet, in one line.</summary>
    public static string Meaning(DropReason reason) => Table[(int)reason].Meaning;

    private static (string Name, string Meaning)[] Build() => [.. Enum.GetValues<DropReason>().Select(Describe)];

    private static (string Name, string Meaning) Describe(DropReason reason) => reason switch
    {
        DropReason.EgressMalformed => ("egress-malformed", "the frame's headers contradict its length"),
        DropReason.EgressNotIp => ("egress-not-ip", "the frame carries neither IP nor an ARP request to answer"),
        DropReason.EgressMulticast => ("egress-multicast", "multicast and broadcast do not cross a routed segment"),
        DropReason.EgressAddressProbe => ("egress-address-probe", "duplicate address detection asks the local link only"),
        DropReason.EgressNoRoute => ("egress-no-route", "no route covers the destination"),
        DropReason.EgressRouteLocal => ("egress-route-local", "the destination's route is local, and nothing on this node has the address"),
        DropReason.EgressRouteBlackhole => ("egress-route-blackhole", "the destination's route is a blackhole"),
        DropReason.EgressRouteUnreachable => ("egress-route-unreachable", "the destination's route says that it is unreachable"),
        DropReason.EgressRouteProhibited => ("egress-route-prohibited", "the destination's route prohibits it"),
        DropReason.EgressTooBig => ("egress-too-big", "the datagram is larger than the underlay's path allows"),
        DropReason.EgressExpired => ("egress-expired", "the packet's TTL or hop limit is 0, so that it may not enter an IP-in-IP tunnel"),
        DropReason.EgressLoop => ("egress-loop", "the packet is for the peer's own end of the tunnel that it would enter, or in IP-in-IP from either end; or the host's route to the peer leads back into the device"),
        DropReason.EgressEncapsulationLimit => ("egress-encapsulation-limit", "the packet's own limit allows no further tunnel around it (RFC 2473)"),
        DropReason.EgressBadOffload => ("egress-bad-offload", "the device asked for an offload that does not fit the frame"),
        DropReason.EgressQueueFull => ("egress-queue-full", "the underlay socket had no room"),
        DropReason.EgressUnreachable => ("egress-unreachable", "the underlay has no way to the peer"),
        DropReason.EgressRefused => ("egress-refused", "the kernel refused to send the datagram"),
        DropReason.EgressUnknownMac => ("egress-unknown-mac", "the destination MAC is not known, and the segment floods only what is for all"),
        DropReason.EgressUnknownNeighbor => ("egress-unknown-neighbor", "the address asked for is no known neighbour's, and the segment does not ask others"),
        DropReason.EgressLocalMac => ("egress-local-mac", "the destination MAC is on this side of the bridge"),
        DropReason.EgressSourceMac => ("egress-source-mac", "the source MAC is a group's or zero, which is nobody's"),
        DropReason.EgressReservedMac => ("egress-reserved-mac", "the destination MAC is reserved for what never leaves its link (IEEE 802.1Q, 8.6.3)"),
        DropReason.EgressSpoofedMac => ("egress-spoofed-mac", "the source MAC is fixed to a peer"),
        DropReason.EgressNoFloodPeer => ("egress-no-flood-peer", "the segment has no peer to flood to"),
        DropReason.IngressMalformed => ("ingress-malformed", "the datagram's tunnel header is incomplete, or a VXLAN header without the I flag"),
        DropReason.IngressTunnelVersion => ("ingress-tunnel-version", "the Geneve header is of an unknown version"),
        DropReason.IngressTunnelOptions => ("ingress-tunnel-options", "the lengths of the Geneve options do not add up"),
        DropReason.IngressCriticalOption => ("ingress-critical-option", "a critical Geneve option is not known in the segment"),
        DropReason.IngressControl => ("ingress-control", "a Geneve control packet (O bit), or a path message that could not be taken, is never forwarded"),
        DropReason.IngressPayloadType => ("ingress-payload-type", "the Geneve payload is neither Ethernet nor IP, or bare IP for a bridged segment"),
        DropReason.IngressUnknownPeer => ("ingress-unknown-peer", "the datagram's sender is no configured peer"),
        DropReason.IngressUnknownSegment => ("ingress-unknown-segment", "no segment has the datagram's VNI"),
        DropReason.IngressInnerMalformed => ("ingress-inner-malformed", "the inner frame's headers contradict its length"),
        DropReason.IngressInnerVlan => ("ingress-inner-vlan", "the inner frame has a VLAN tag"),
        DropReason.IngressInnerMac => ("ingress-inner-mac", "the inner frame is not addressed to the segment's device"),
        DropReason.IngressSourceMac => ("ingress-source-mac", "the source MAC is a group's or zero, which is nobody's"),
        DropReason.IngressReservedMac => ("ingress-reserved-mac", "the destination MAC is reserved for what never leaves its link (IEEE 802.1Q, 8.6.3)"),
        DropReason.IngressSpoofedMac => ("ingress-spoofed-mac", "the source MAC is fixed to this node or to another peer"),
        DropReason.IngressInnerSource => ("ingress-inner-source", "the inner source is this node's, a tunnel's end or embeds one, or is an address that no packet can come from"),
        DropReason.IngressReversePath => ("ingress-reverse-path", "the inner source's route does not lead to the peer that the packet came from"),
        DropReason.IngressExpired => ("ingress-expired", "the inner TTL or hop limit is 0"),
        DropReason.IngressEcnConflict => ("ingress-ecn-conflict", "congestion was marked on a packet whose ends cannot react to it (RFC 6040)"),
        DropReason.IngressDeviceRefused => ("ingress-device-refused", "the device had no room or is down"),
        _ => throw new ArgumentOutOfRangeException(nameof(reason), reason, "has no name"),
    };
}
