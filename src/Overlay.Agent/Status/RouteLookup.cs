using System.Net;
using Overlay.Dataplane.Forwarding;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Status;

/// <summary>Looks a destination up as the packet path does.</summary>
internal static class RouteLookup
{
    /// <param name="snapshot">In force.</param>
    /// <param name="address">Inner destination.</param>
    /// <param name="segment">Name of the only segment to look in, or null.</param>
    /// <returns>Null where there is no such segment.</returns>
    public static RouteLookupDocument? Find(ForwardingSnapshot snapshot, IPAddress address, string? segment)
    {
        Segment[] among = [.. snapshot.Segments.Where(each => segment is null || each.Name == segment)];
        if (segment is not null && among.Length == 0) return null;
        UInt128 destination = IpBits.V6OrMapped(address);
        return new RouteLookupDocument(address.ToString(), snapshot.Revision, [.. among.Select(each => Match(each, destination)).OfType<RouteMatch>()]);
    }

    private static RouteMatch? Match(Segment segment, UInt128 destination)
    {
        int route = IpBits.IsMapped(destination) ? segment.Routes.LookupV4((uint)destination) : segment.Routes.LookupV6(destination);
        if (route == RouteTable.NoRoute || segment.Routes.Match(destination) is not { } prefix) return null;
        Peer peer = segment.Peers[route];
        return new RouteMatch(segment.Name, $"{IpBits.ToAddress(prefix.Address)}/{prefix.Length}", peer.Name, peer.Endpoint.ToString());
    }
}
