using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <summary>What the entry of an IP-in-IP tunnel demands of a packet and puts into its outer header.</summary>
internal static class IpInIpEntry
{
    /// <summary>
    /// Refuses a packet whose TTL is 0, one that comes from either end of the tunnel (RFC 2003, 4: it would run in a loop), and over IPv6 one
    /// that may be enclosed no further (RFC 2473, 4.1.1). Gives the others' flow the outer protocol and encapsulation limit.
    /// </summary>
    /// <param name="frame">From the device.</param>
    /// <param name="packet">The IP packet in it.</param>
    /// <param name="segment">Where it belongs.</param>
    /// <param name="options">Knows our end of the tunnel.</param>
    /// <param name="flow">Where the packet goes.</param>
    /// <param name="limitOffset">Where in the IP packet its own limit is, where that is the reason.</param>
    /// <returns>Null, or why the packet must be dropped.</returns>
    public static DropReason? Refusal(
        ReadOnlySpan<byte> frame, in InnerPacket packet, Segment segment, EgressOptions options, ref OuterFlow flow, out int limitOffset)
    {
        limitOffset = 0;
        if (packet.TimeToLive == 0) return DropReason.EgressExpired;
        UInt128 source = packet.Source(frame);
        bool isOurs = packet.IsIpv4 ? (uint)source == options.LocalV4 : source == options.LocalV6;
        if (isOurs || source == flow.Peer.Endpoint.Address) return DropReason.EgressLoop;
        flow = flow with { Protocol = packet.IsIpv4 ? IpProtocols.Ipv4InIp : IpProtocols.Ipv6InIp };
        if (flow.Peer.Endpoint.IsIPv4) return null;

        int limit = packet.IsIpv6 ? TunnelEncapsulationLimit.Find(frame[packet.NetworkOffset..packet.End], out limitOffset) : -1;
        if (limit == 0) return DropReason.EgressEncapsulationLimit;
        int written = limit > 0 ? limit - 1 : segment.Tunnel.EncapsulationLimit ?? -1;
        flow = flow with { EncapsulationLimit = (short)written };
        return null;
    }
}
