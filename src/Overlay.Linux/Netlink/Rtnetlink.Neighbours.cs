using System.Net;
using Overlay.Linux.Interop;
using Overlay.Wire;
using static Overlay.Linux.Interop.NetlinkConstants;

namespace Overlay.Linux.Netlink;

public sealed partial class Rtnetlink
{
    /// <summary>Makes the neighbour permanent with this hardware address, whatever was known of it.</summary>
    public void SetNeighbour(Neighbour neighbour)
    {
        NetlinkRequest request = NeighbourRequest(stackalloc byte[NetlinkRequest.BufferBytes], RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, neighbour);
        MacAddress mac = neighbour.Mac;
        request.Add(NDA_LLADDR, mac);
        _socket.Execute(ref request, $"set neighbour {neighbour.Address} {neighbour.Mac} on link {neighbour.InterfaceIndex}");
    }

    /// <summary>Deletes a neighbour. Where there is none the kernel answers ENOENT.</summary>
    public void DeleteNeighbour(int interfaceIndex, IPAddress address)
    {
        var neighbour = new Neighbour(interfaceIndex, address, default);
        NetlinkRequest request = NeighbourRequest(stackalloc byte[NetlinkRequest.BufferBytes], RTM_DELNEIGH, 0, neighbour);
        _socket.Execute(ref request, $"delete neighbour {address} of link {interfaceIndex}");
    }

    /// <summary>The permanent neighbours of one interface, of both families.</summary>
    public IReadOnlyList<Neighbour> ListNeighbours(int interfaceIndex) => ListNeighbours((int?)interfaceIndex);

    /// <summary>The permanent neighbours of all interfaces, of both families.</summary>
    public IReadOnlyList<Neighbour> ListNeighbours() => ListNeighbours(null);

    private List<Neighbour> ListNeighbours(int? interfaceIndex)
    {
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], RTM_GETNEIGH, 0, default(NdMsg));
        return _socket.Dump(ref request, "list neighbours", body => ParseNeighbour(body, interfaceIndex));
    }

    private static NetlinkRequest NeighbourRequest(Span<byte> buffer, ushort type, ushort flags, Neighbour neighbour)
    {
        var body = new NdMsg
        {
            ndm_family = Family(neighbour.Address),
            ndm_ifindex = neighbour.InterfaceIndex,
            ndm_state = NUD_PERMANENT,
        };
        NetlinkRequest request = NetlinkRequest.Start(buffer, type, flags, body);
        request.Add(NDA_DST, neighbour.Address);
        return request;
    }

    private static Neighbour? ParseNeighbour(ReadOnlySpan<byte> body, int? onlyOf)
    {
        NetlinkAttributes attributes = Split(body, out NdMsg header);
        if ((onlyOf is { } index && header.ndm_ifindex != index) || (header.ndm_state & NUD_PERMANENT) == 0) return null;
        if (header.ndm_family is not (Sockets.AF_INET or Sockets.AF_INET6)) return null;
        IPAddress? address = null;
        MacAddress mac = default;
        while (attributes.Next())
        {
            if (attributes.Type == NDA_DST) address = attributes.Address;
            else if (attributes.Type == NDA_LLADDR && attributes.Value.Length == MacAddress.Length) mac = new MacAddress(attributes.Value);
        }
        return address is null ? null : new Neighbour(header.ndm_ifindex, address, mac);
    }
}
