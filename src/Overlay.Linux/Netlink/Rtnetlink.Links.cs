using System.Runtime.InteropServices;
using Overlay.Linux.Interop;
using Overlay.Wire;
using static Overlay.Linux.Interop.NetlinkConstants;

namespace Overlay.Linux.Netlink;

public sealed partial class Rtnetlink
{
    /// <summary>The interface of a name, or null.</summary>
    public Link? FindLink(string name)
    {
        NetlinkRequest request = LinksRequest(stackalloc byte[NetlinkRequest.BufferBytes], 0);
        request.Add(IFLA_IFNAME, name);
        return FindLink(ref request, name);
    }

    /// <summary>The interface of an index, or null.</summary>
    public Link? FindLink(int index)
    {
        NetlinkRequest request = LinksRequest(stackalloc byte[NetlinkRequest.BufferBytes], index);
        return FindLink(ref request, $"{index}");
    }

    public IReadOnlyList<Link> ListLinks()
    {
        NetlinkRequest request = LinksRequest(stackalloc byte[NetlinkRequest.BufferBytes], 0);
        return _socket.Dump(ref request, "list links", ParseLink);
    }

    /// <param name="index">Interface index.</param>
    /// <param name="mtu">Bytes of an IP packet.</param>
    public void SetMtu(int index, int mtu)
    {
        NetlinkRequest request = LinkRequest(stackalloc byte[NetlinkRequest.BufferBytes], index);
        request.Add(IFLA_MTU, (uint)mtu);
        _socket.Execute(ref request, $"set MTU {mtu} of link {index}");
    }

    public void SetMac(int index, MacAddress mac)
    {
        NetlinkRequest request = LinkRequest(stackalloc byte[NetlinkRequest.BufferBytes], index);
        request.Add(IFLA_ADDRESS, mac);
        _socket.Execute(ref request, $"set address {mac} of link {index}");
    }

    /// <param name="index">Interface index.</param>
    /// <param name="master">Interface index of the bridge that it becomes a port of; 0: of none.</param>
    public void SetMaster(int index, int master)
    {
        NetlinkRequest request = LinkRequest(stackalloc byte[NetlinkRequest.BufferBytes], index);
        request.Add(IFLA_MASTER, (uint)master);
        _socket.Execute(ref request, $"set master {master} of link {index}");
    }

    public void SetUp(int index, bool up)
    {
        var body = new IfInfoMsg { ifi_index = index, ifi_flags = up ? IFF_UP : 0, ifi_change = IFF_UP };
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], RTM_NEWLINK, 0, body);
        _socket.Execute(ref request, $"set link {index} {(up ? "up" : "down")}");
    }

    private Link? FindLink(ref NetlinkRequest request, string link)
    {
        try
        {
            return _socket.Get(ref request, $"get link {link}", ParseLink);
        }
        catch (LinuxException exception) when (exception.Errno == Errno.ENODEV)
        {
            return null;
        }
    }

    /// <summary>Asks for links without their counters, which are most of what the kernel would collect and tell.</summary>
    private static NetlinkRequest LinksRequest(Span<byte> buffer, int index)
    {
        NetlinkRequest request = NetlinkRequest.Start(buffer, RTM_GETLINK, 0, new IfInfoMsg { ifi_index = index });
        request.Add(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        return request;
    }

    private static NetlinkRequest LinkRequest(Span<byte> buffer, int index) =>
        NetlinkRequest.Start(buffer, RTM_NEWLINK, 0, new IfInfoMsg { ifi_index = index });

    /// <summary>As told by an event; null for what a bridge tells of its ports.</summary>
    internal static Link? ParseLinkEvent(ReadOnlySpan<byte> body) =>
        MemoryMarshal.Read<IfInfoMsg>(body).ifi_family == Sockets.AF_UNSPEC ? ParseLink(body) : null;

    private static Link ParseLink(ReadOnlySpan<byte> body)
    {
        NetlinkAttributes attributes = Split(body, out IfInfoMsg header);
        string name = "";
        string kind = "";
        MacAddress mac = default;
        int mtu = 0;
        int master = 0;
        ReadOnlySpan<int> ipv6 = default;
        while (attributes.Next())
        {
            switch (attributes.Type)
            {
                case IFLA_IFNAME: name = attributes.Text; break;
                case IFLA_MTU: mtu = (int)attributes.UInt32; break;
                case IFLA_MASTER: master = (int)attributes.UInt32; break;
                case IFLA_ADDRESS when attributes.Value.Length == MacAddress.Length: mac = new MacAddress(attributes.Value); break;
                case IFLA_LINKINFO: kind = ParseKind(attributes.Value); break;
                case IFLA_AF_SPEC: ipv6 = ParseIPv6Settings(attributes.Value); break;
                default: break;
            }
        }
        bool up = (header.ifi_flags & IFF_UP) != 0;
        return new Link(header.ifi_index, name, kind, mac, mtu, up, up && (header.ifi_flags & IFF_LOWER_UP) != 0)
        {
            Master = master,
            Ipv6Mtu = ipv6.Length > DEVCONF_MTU6 ? ipv6[DEVCONF_MTU6] : mtu,
            IsIPv6Disabled = ipv6.Length > DEVCONF_DISABLE_IPV6 && ipv6[DEVCONF_DISABLE_IPV6] != 0,
        };
    }

    private static string ParseKind(ReadOnlySpan<byte> linkInfo)
    {
        var attributes = new NetlinkAttributes(linkInfo);
        while (attributes.Next())
        {
            if (attributes.Type == IFLA_INFO_KIND) return attributes.Text;
        }
        return "";
    }

    /// <returns>By <c>DEVCONF_*</c>; empty where the link has none.</returns>
    private static ReadOnlySpan<int> ParseIPv6Settings(ReadOnlySpan<byte> families)
    {
        var each = new NetlinkAttributes(families);
        while (each.Next())
        {
            if (each.Type != Sockets.AF_INET6) continue;
            var settings = new NetlinkAttributes(each.Value);
            while (settings.Next())
            {
                if (settings.Type == IFLA_INET6_CONF) return MemoryMarshal.Cast<byte, int>(settings.Value);
            }
        }
        return default;
    }
}
