using Overlay.Linux.Interop;
using Overlay.Linux.Namespaces;
using Overlay.Wire;
using static Overlay.Linux.Interop.NetlinkConstants;

namespace Overlay.Linux.Netlink;

/// <summary>One end of a veth pair (veth(4)).</summary>
public readonly record struct VethEnd(string Name, MacAddress Mac);

public sealed partial class Rtnetlink
{
    /// <summary>
    /// Makes a veth pair, both ends down: one here, the other in another namespace. A name that is taken, at either end, is refused with EEXIST,
    /// and nothing is made. They have one queue a direction, as veth devices use unless they are told otherwise: asking for it spares the kernel
    /// from making more and waiting until nobody can see them any more.
    /// </summary>
    /// <param name="mtu">Of both ends: bytes of an IP packet.</param>
    public void AddVeth(VethEnd here, VethEnd there, NetworkNamespaceFile thereIn, int mtu)
    {
        NetlinkRequest request = NetlinkRequest.Start(
            stackalloc byte[NetlinkRequest.BufferBytes], RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, default(IfInfoMsg));
        AddEnd(ref request, here, mtu);
        AddQueues(ref request);
        int info = request.BeginNest(IFLA_LINKINFO);
        request.Add(IFLA_INFO_KIND, "veth");
        int data = request.BeginNest(IFLA_INFO_DATA);
        int peer = request.BeginNest(VETH_INFO_PEER);
        request.Append(default(IfInfoMsg));
        AddEnd(ref request, there, mtu);
        AddQueues(ref request);
        request.Add(IFLA_NET_NS_FD, (uint)thereIn.Descriptor.Number);
        request.EndNest(peer);
        request.EndNest(data);
        request.EndNest(info);
        _socket.Execute(ref request, $"add veth {here.Name} to {there.Name} in {thereIn.Path}");
    }

    /// <summary>Makes a bridge, down. A name that is taken is refused with EEXIST.</summary>
    public void AddBridge(string name, MacAddress mac, int mtu)
    {
        NetlinkRequest request = NetlinkRequest.Start(
            stackalloc byte[NetlinkRequest.BufferBytes], RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, default(IfInfoMsg));
        AddEnd(ref request, new VethEnd(name, mac), mtu);
        int info = request.BeginNest(IFLA_LINKINFO);
        request.Add(IFLA_INFO_KIND, "bridge");
        request.EndNest(info);
        _socket.Execute(ref request, $"add bridge {name}");
    }

    /// <summary>
    /// Has a bridge know one station behind a port for good, and learn no others of what they send; and send a frame back out of the port it came from.
    /// </summary>
    public void SetStation(int port, MacAddress mac)
    {
        SetPort(port);
        var body = new NdMsg { ndm_family = Sockets.AF_BRIDGE, ndm_ifindex = port, ndm_state = NUD_NOARP, ndm_flags = NTF_MASTER };
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body);
        request.Add(NDA_LLADDR, mac);
        _socket.Execute(ref request, $"add {mac} behind bridge port {port}");
    }

    private void SetPort(int port)
    {
        NetlinkRequest request = NetlinkRequest.Start(
            stackalloc byte[NetlinkRequest.BufferBytes], RTM_SETLINK, 0, new IfInfoMsg { ifi_family = Sockets.AF_BRIDGE, ifi_index = port });
        int settings = request.BeginNest(IFLA_PROTINFO);
        request.Add(IFLA_BRPORT_MODE, [1]);
        request.Add(IFLA_BRPORT_LEARNING, [0]);
        request.EndNest(settings);
        _socket.Execute(ref request, $"set hairpin and no learning of bridge port {port}");
    }

    /// <summary>
    /// Keeps the kernel from giving the link IPv6 addresses of its own making, once it is set up: it then sends no solicitations and reports either.
    /// </summary>
    public void DisableAddressGeneration(int index)
    {
        NetlinkRequest request = LinkRequest(stackalloc byte[NetlinkRequest.BufferBytes], index);
        int families = request.BeginNest(IFLA_AF_SPEC);
        int ipv6 = request.BeginNest(Sockets.AF_INET6);
        request.Add(IFLA_INET6_ADDR_GEN_MODE, [IN6_ADDR_GEN_MODE_NONE]);
        request.EndNest(ipv6);
        request.EndNest(families);
        _socket.Execute(ref request, $"disable address generation of link {index}");
    }

    /// <summary>Removes a virtual link, and its other end where it has one. Where there is none the kernel answers ENODEV.</summary>
    public void DeleteLink(int index)
    {
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], RTM_DELLINK, 0, new IfInfoMsg { ifi_index = index });
        _socket.Execute(ref request, $"delete link {index}");
    }

    private static void AddQueues(ref NetlinkRequest request)
    {
        request.Add(IFLA_NUM_TX_QUEUES, 1);
        request.Add(IFLA_NUM_RX_QUEUES, 1);
    }

    private static void AddEnd(ref NetlinkRequest request, VethEnd end, int mtu)
    {
        MacAddress mac = end.Mac;
        request.Add(IFLA_IFNAME, end.Name);
        request.Add(IFLA_ADDRESS, mac);
        request.Add(IFLA_MTU, (uint)mtu);
    }
}
