using System.Net;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Status;

/// <summary>A flow to ask about.</summary>
/// <param name="Destination">Inner destination.</param>
/// <param name="Source">Of the same family; null: not known.</param>
/// <param name="Protocol">IP protocol number; null: that of ping.</param>
/// <param name="SourcePort">0 where the protocol has none.</param>
/// <param name="DestinationPort">0 where the protocol has none.</param>
internal readonly record struct FlowQuestion(IPAddress Destination, IPAddress? Source, byte? Protocol, ushort SourcePort, ushort DestinationPort)
{
    /// <summary>As <see cref="InnerPacket.FlowHash"/> of its packets; null where the source is not known.</summary>
    public uint? Hash()
    {
        if (Source is null) return null;
        UInt128 from = IpBits.V6OrMapped(Source);
        UInt128 to = IpBits.V6OrMapped(Destination);
        bool isV4 = IpBits.IsMapped(to);
        byte protocol = Protocol ?? (isV4 ? IpProtocols.Icmpv4 : IpProtocols.Icmpv6);
        uint ports = protocol is IpProtocols.Tcp or IpProtocols.Udp ? (uint)SourcePort << 16 | DestinationPort : 0;
        return isV4 ? FlowHash.OfV4((uint)from, (uint)to, ports, protocol) : FlowHash.OfV6(from, to, ports, protocol);
    }
}

/// <summary>Looks a destination up as the packet path does.</summary>
internal static class RouteLookup
{
    /// <param name="plan">In force: says why.</param>
    /// <param name="snapshot">In force: says where to, by the table and the groups that packets are looked up in.</param>
    /// <param name="flow">What is asked about.</param>
    /// <param name="segment">Name of the only segment to look in, or null.</param>
    /// <returns>Null where there is no such segment.</returns>
    public static RouteLookupDocument? Find(NodePlan plan, ForwardingSnapshot snapshot, FlowQuestion flow, string? segment)
    {
        Segment[] among = [.. snapshot.Segments.Where(each => segment is null || each.Name == segment)];
        if (segment is not null && among.Length == 0) return null;
        return new RouteLookupDocument(
            flow.Destination.ToString(), flow.Source?.ToString(), snapshot.Revision,
            [.. among.Select(each => Match(plan, each, flow)).OfType<RouteMatch>()]);
    }

    private static RouteMatch? Match(NodePlan plan, Segment segment, FlowQuestion flow)
    {
        UInt128 destination = IpBits.V6OrMapped(flow.Destination);
        int value = IpBits.IsMapped(destination) ? segment.Routes.LookupV4((uint)destination) : segment.Routes.LookupV6(destination);
        if (value == RouteTable.NoRoute || segment.Routes.Match(destination) is not { } prefix) return null;
        ReadOnlySpan<RouteState> routes = RouteSet.Of(plan.State.Routes).Find(segment.Name, prefix.Address, prefix.Length);
        // A reload between reading the snapshot and the plan.
        if (routes.IsEmpty) return null;
        RouteStatus[] described = RouteReporter.DescribeAll(routes);
        uint? hash = flow.Hash();
        RouteTarget target = RouteTarget.Of(value);
        int index = target.Action == RouteAction.Group && hash is null ? RouteTarget.NoPeer : segment.PeerOf(value, hash ?? 0);
        Peer? peer = index < 0 ? null : segment.Peers[index];
        (string way, string wayOut, int? mtu) = Way(plan, segment, routes[0], target, peer);
        return new RouteMatch(described[0], peer?.Name, peer?.Endpoint.ToString(), way, wayOut, mtu, described[1..]);
    }

    private static (string Way, string WayOut, int? Mtu) Way(NodePlan plan, Segment segment, in RouteState route, RouteTarget target, Peer? peer)
    {
        switch (target.Action)
        {
            case RouteAction.Local:
                return ("drop", "on this node; nobody else gets it", null);
            case RouteAction.Blackhole:
                return ("drop", "dropped silently", null);
            case RouteAction.Unreachable:
                return ("drop", "ICMP: host unreachable", null);
            case RouteAction.Prohibit:
                return ("drop", "ICMP: administratively prohibited", null);
            default:
                break;
        }
        string device = plan.Segments[segment.Index].Device;
        string tunnel = EncapsulationNames.Of(segment.Tunnel);
        if (peer is null) return ("tunnel", $"{tunnel} from {device}, peer by the flow's hash: ask with a source", segment.Mtu);
        if (plan.IsDirect(route)) return ("direct", $"via {IpBits.ToAddress(peer.Endpoint.Address)}, no tunnel", plan.Underlay.Mtu);
        return ("tunnel", $"{tunnel} from {device}", Math.Min(segment.Mtu, segment.RoomTo(peer) - segment.PrefixLength));
    }
}
