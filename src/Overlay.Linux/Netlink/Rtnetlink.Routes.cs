using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Linux.Interop;
using static Overlay.Linux.Interop.NetlinkConstants;

namespace Overlay.Linux.Netlink;

public sealed partial class Rtnetlink
{
    /// <summary>As many refusals as a socket's buffer surely holds.</summary>
    private const int RoutesPerCall = 64;

    /// <summary>Adds a route. One of the same destination and metric is refused with EEXIST.</summary>
    public void AddRoute(Route route) => SetRoute(route, NLM_F_CREATE | NLM_F_EXCL, "add");

    /// <summary>Puts the route in the place of one of the same destination and metric, or adds it.</summary>
    public void ReplaceRoute(Route route) => SetRoute(route, NLM_F_CREATE | NLM_F_REPLACE, "replace");

    /// <summary>Deletes the route that agrees in everything given. Where there is none the kernel answers ESRCH.</summary>
    public void DeleteRoute(Route route)
    {
        NetlinkRequest request = RouteRequest(stackalloc byte[NetlinkRequest.BufferBytes], RTM_DELROUTE, 0, route);
        _socket.Execute(ref request, $"delete route {route.Destination} of link {route.InterfaceIndex}");
    }

    /// <summary>The routes of the main table that lead somewhere or refuse, of both families.</summary>
    public IReadOnlyList<Route> ListRoutes()
    {
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], RTM_GETROUTE, 0, default(RtMsg));
        return _socket.Dump(ref request, "list routes", ParseRoute);
    }

    /// <summary>Makes many changes, in the order given and many a system call. One that the kernel refuses does not keep it from the others.</summary>
    /// <returns>What it refused.</returns>
    public IReadOnlyList<RouteFailure> ChangeRoutes(IReadOnlyList<RouteChange> changes)
    {
        var failures = new List<RouteFailure>();
        byte[] messages = new byte[RoutesPerCall * NetlinkRequest.BufferBytes];
        for (int first = 0; first < changes.Count; first += RoutesPerCall)
        {
            int length = 0;
            int count = Math.Min(RoutesPerCall, changes.Count - first);
            for (int i = 0; i < count; i++)
            {
                NetlinkRequest request = ChangeRequest(messages.AsSpan(length, NetlinkRequest.BufferBytes), changes[first + i]);
                length += _socket.Append(ref request, isLast: i == count - 1);
            }
            int start = first;
            _socket.ExecuteAll(messages.AsSpan(0, length), count, "change routes", (index, errno, detail) =>
            {
                RouteChange change = changes[start + index];
                string call = $"{change.Verb.ToString().ToLowerInvariant()} route {change.Route.Destination} of link {change.Route.InterfaceIndex}";
                failures.Add(new RouteFailure(start + index, new LinuxException(call, errno, detail)));
            });
        }
        return failures;
    }

    private static NetlinkRequest ChangeRequest(Span<byte> buffer, RouteChange change) => change.Verb switch
    {
        RouteVerb.Add => RouteRequest(buffer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, change.Route),
        RouteVerb.Replace => RouteRequest(buffer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, change.Route),
        _ => RouteRequest(buffer, RTM_DELROUTE, 0, change.Route),
    };

    private void SetRoute(Route route, ushort flags, string verb)
    {
        NetlinkRequest request = RouteRequest(stackalloc byte[NetlinkRequest.BufferBytes], RTM_NEWROUTE, flags, route);
        _socket.Execute(ref request, $"{verb} route {route.Destination} via {route.Gateway?.ToString() ?? "link"} on link {route.InterfaceIndex}");
    }

    private static NetlinkRequest RouteRequest(Span<byte> buffer, ushort type, ushort flags, Route route)
    {
        IPAddress network = route.Destination.BaseAddress;
        var body = new RtMsg
        {
            rtm_family = Family(network),
            rtm_dst_len = (byte)route.Destination.PrefixLength,
            rtm_table = RT_TABLE_MAIN,
            rtm_protocol = route.Protocol,
            rtm_scope = route.Kind == RouteKind.Unicast && route.Gateway is null && network.AddressFamily == AddressFamily.InterNetwork
                ? RT_SCOPE_LINK
                : RT_SCOPE_UNIVERSE,
            rtm_type = (byte)route.Kind,
            rtm_flags = route.OnLink ? RTNH_F_ONLINK : 0,
        };
        NetlinkRequest request = NetlinkRequest.Start(buffer, type, flags, body);
        request.Add(RTA_DST, network);
        if (route.Kind == RouteKind.Unicast) request.Add(RTA_OIF, (uint)route.InterfaceIndex);
        if (route.Gateway is not null) request.Add(RTA_GATEWAY, route.Gateway);
        if (route.PreferredSource is not null) request.Add(RTA_PREFSRC, route.PreferredSource);
        if (route.Metric != 0) request.Add(RTA_PRIORITY, route.Metric);
        return request;
    }

    internal static Route? ParseRoute(ReadOnlySpan<byte> body)
    {
        NetlinkAttributes attributes = Split(body, out RtMsg header);
        var kind = (RouteKind)header.rtm_type;
        if (kind is not (RouteKind.Unicast or RouteKind.Blackhole or RouteKind.Unreachable or RouteKind.Prohibit) || (header.rtm_flags & RTM_F_CLONED) != 0) return null;
        bool ipv4 = header.rtm_family == Sockets.AF_INET;
        if (!ipv4 && header.rtm_family != Sockets.AF_INET6) return null;
        IPAddress destination = ipv4 ? IPAddress.Any : IPAddress.IPv6Any;
        IPAddress? gateway = null;
        IPAddress? source = null;
        int interfaceIndex = 0;
        uint metric = 0;
        uint table = header.rtm_table;
        uint hopFlags = header.rtm_flags;
        while (attributes.Next())
        {
            switch (attributes.Type)
            {
                case RTA_DST: destination = attributes.Address; break;
                case RTA_OIF: interfaceIndex = (int)attributes.UInt32; break;
                case RTA_GATEWAY: gateway = attributes.Address; break;
                case RTA_PREFSRC: source = attributes.Address; break;
                case RTA_PRIORITY: metric = attributes.UInt32; break;
                case RTA_TABLE: table = attributes.UInt32; break;
                case RTA_MULTIPATH: (interfaceIndex, gateway, hopFlags) = FirstHop(attributes.Value); break;
                default: break;
            }
        }
        return table != RT_TABLE_MAIN ? null : new Route(new IPNetwork(destination, header.rtm_dst_len), kind == RouteKind.Unicast ? interfaceIndex : 0)
        {
            Kind = kind,
            Gateway = gateway,
            OnLink = (hopFlags & RTNH_F_ONLINK) != 0,
            PreferredSource = source,
            Protocol = header.rtm_protocol,
            Metric = metric,
        };
    }

    /// <summary>
    /// Of several next hops the one that was there first: an IPv6 route that is appended to another joins it, and the first one's maker stands for both.
    /// </summary>
    private static (int InterfaceIndex, IPAddress? Gateway, uint Flags) FirstHop(ReadOnlySpan<byte> hops)
    {
        RtNextHop hop = MemoryMarshal.Read<RtNextHop>(hops);
        var attributes = new NetlinkAttributes(hops[Unsafe.SizeOf<RtNextHop>()..hop.rtnh_len]);
        while (attributes.Next())
        {
            if (attributes.Type == RTA_GATEWAY) return (hop.rtnh_ifindex, attributes.Address, hop.rtnh_flags);
        }
        return (hop.rtnh_ifindex, null, hop.rtnh_flags);
    }
}
