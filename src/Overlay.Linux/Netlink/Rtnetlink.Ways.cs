using System.Net;
using System.Runtime.InteropServices;
using Overlay.Linux.Interop;
using static Overlay.Linux.Interop.NetlinkConstants;

namespace Overlay.Linux.Netlink;

public sealed partial class Rtnetlink
{
    /// <summary>The way of a packet by all rules and tables; null where none leads out.</summary>
    /// <param name="destination">Where it goes.</param>
    /// <param name="source">Its source address, one of this host's; null: the kernel's choice.</param>
    /// <param name="interfaceIndex">Interface that its socket is bound to; 0: none.</param>
    public RouteWay? FindWay(IPAddress destination, IPAddress? source, int interfaceIndex)
    {
        if (Ask(destination, source, interfaceIndex, flags: 0) is not { } found) return null;
        // An MTU that expires was told by somebody's ICMP error. The route that the entry was cloned from has the configured one.
        return !found.IsLearned ? found.Way : found.Way with { Mtu = Ask(destination, source, interfaceIndex, RTM_F_FIB_MATCH)?.Way.Mtu };
    }

    private FoundWay? Ask(IPAddress destination, IPAddress? source, int interfaceIndex, uint flags)
    {
        var body = new RtMsg { rtm_family = Family(destination), rtm_dst_len = AddressBits(destination), rtm_flags = flags };
        if (source is not null) body.rtm_src_len = AddressBits(source);
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], RTM_GETROUTE, 0, body);
        request.Add(RTA_DST, destination);
        if (source is not null) request.Add(RTA_SRC, source);
        if (interfaceIndex != 0) request.Add(RTA_OIF, (uint)interfaceIndex);
        try
        {
            FoundWay found = _socket.Get(ref request, $"get route to {destination}", ParseWay);
            return found.Kind == RouteKind.Unicast && found.Way.InterfaceIndex != 0 ? found : null;
        }
        catch (LinuxException exception) when (
            exception.Errno is Errno.ENETUNREACH or Errno.EHOSTUNREACH or Errno.EACCES or Errno.EINVAL or Errno.ENODEV or Errno.ENETDOWN)
        {
            return null;
        }
    }

    private static FoundWay ParseWay(ReadOnlySpan<byte> body)
    {
        NetlinkAttributes attributes = Split(body, out RtMsg header);
        int interfaceIndex = 0;
        int? mtu = null;
        bool isLearned = false;
        while (attributes.Next())
        {
            switch (attributes.Type)
            {
                case RTA_OIF: interfaceIndex = (int)attributes.UInt32; break;
                case RTA_METRICS: mtu = ParseMtu(attributes.Value); break;
                case RTA_CACHEINFO: isLearned = MemoryMarshal.Read<RtaCacheInfo>(attributes.Value).rta_expires != 0; break;
                default: break;
            }
        }
        return new FoundWay(new RouteWay(interfaceIndex, mtu), (RouteKind)header.rtm_type, isLearned);
    }

    private static int? ParseMtu(ReadOnlySpan<byte> metrics)
    {
        var attributes = new NetlinkAttributes(metrics);
        while (attributes.Next())
        {
            if (attributes.Type == RTAX_MTU) return (int)attributes.UInt32;
        }
        return null;
    }

    private static byte AddressBits(IPAddress address) => (byte)(Family(address) == Sockets.AF_INET ? 32 : 128);

    private sealed record FoundWay(RouteWay Way, RouteKind Kind, bool IsLearned);
}
