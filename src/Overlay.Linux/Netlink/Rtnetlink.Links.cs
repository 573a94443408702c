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
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], RTM_GETLINK, 0, default(IfInfoMsg));
        request.Add(IFLA_IFNAME, name);
        try
        {
            return _socket.Get(ref request, $"get link {name}", ParseLink);
        }
        catch (LinuxException exception) when (exception.Errno == Errno.ENODEV)
        {
            return null;
        }
    }

    public IReadOnlyList<Link> ListLinks()
    {
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], RTM_GETLINK, 0, default(IfInfoMsg));
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
        while (attributes.Next())
        {
            switch (attributes.Type)
            {
                case IFLA_IFNAME: name = attributes.Text; break;
                case IFLA_MTU: mtu = (int)attributes.UInt32; break;
                case IFLA_MASTER: master = (int)attributes.UInt32; break;
                case IFLA_ADDRESS when attributes.Value.Length == MacAddress.Length: mac = new MacAddress(attributes.Value); break;
                case IFLA_LINKINFO: kind = ParseKind(attributes.Value); break;
                default: break;
            }
        }
        bool up = (header.ifi_flags & IFF_UP) != 0;
        return new Link(header.ifi_index, name, kind, mac, mtu, up, up && (header.ifi_flags & IFF_LOWER_UP) != 0) { Master = master };
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
}
