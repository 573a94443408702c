using System.Net;
using System.Net.Sockets;
using Overlay.Linux.Interop;
using static Overlay.Linux.Interop.NetlinkConstants;

namespace Overlay.Linux.Netlink;

public sealed partial class Rtnetlink
{
    /// <summary>Adds an address. One that is there already is refused with EEXIST.</summary>
    public void AddAddress(AssignedAddress address)
    {
        NetlinkRequest request = AddressRequest(stackalloc byte[NetlinkRequest.BufferBytes], RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address);
        if (address.Address.AddressFamily == AddressFamily.InterNetworkV6) request.Add(IFA_FLAGS, IFA_F_NODAD);
        _socket.Execute(ref request, $"add address {address.Address}/{address.PrefixLength} to link {address.InterfaceIndex}");
    }

    public void DeleteAddress(AssignedAddress address)
    {
        NetlinkRequest request = AddressRequest(stackalloc byte[NetlinkRequest.BufferBytes], RTM_DELADDR, 0, address);
        _socket.Execute(ref request, $"delete address {address.Address}/{address.PrefixLength} of link {address.InterfaceIndex}");
    }

    /// <summary>
    /// The usable addresses of one interface; an IPv6 address whose uniqueness is not settled, or was disproved, is left out.
    /// </summary>
    public IReadOnlyList<AssignedAddress> ListAddresses(int interfaceIndex) => ListAddresses((int?)interfaceIndex);

    /// <summary>The usable addresses of all interfaces.</summary>
    public IReadOnlyList<AssignedAddress> ListAddresses() => ListAddresses(null);

    private List<AssignedAddress> ListAddresses(int? interfaceIndex)
    {
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], RTM_GETADDR, 0, default(IfAddrMsg));
        return _socket.Dump(ref request, "list addresses", body => ParseAddress(body, interfaceIndex));
    }

    private static NetlinkRequest AddressRequest(Span<byte> buffer, ushort type, ushort flags, AssignedAddress address)
    {
        var body = new IfAddrMsg
        {
            ifa_family = Family(address.Address),
            ifa_prefixlen = (byte)address.PrefixLength,
            ifa_scope = (byte)address.Scope,
            ifa_index = (uint)address.InterfaceIndex,
        };
        NetlinkRequest request = NetlinkRequest.Start(buffer, type, flags, body);
        request.Add(IFA_LOCAL, address.Address);
        request.Add(IFA_ADDRESS, address.Address);
        return request;
    }

    /// <param name="body">Of an answer or an event.</param>
    /// <param name="onlyOf">Index of the one interface of interest, or null.</param>
    internal static AssignedAddress? ParseAddress(ReadOnlySpan<byte> body, int? onlyOf)
    {
        NetlinkAttributes attributes = Split(body, out IfAddrMsg header);
        if (onlyOf is { } index && header.ifa_index != index) return null;
        IPAddress? peer = null;
        IPAddress? local = null;
        uint flags = header.ifa_flags;
        while (attributes.Next())
        {
            switch (attributes.Type)
            {
                case IFA_ADDRESS: peer = attributes.Address; break;
                case IFA_LOCAL: local = attributes.Address; break;
                case IFA_FLAGS: flags = attributes.UInt32; break;
                default: break;
            }
        }
        if ((flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0) return null;

        // IFA_ADDRESS is the far end's of a point-to-point interface; IPv6 says IFA_LOCAL only then.
        IPAddress? address = local ?? peer;
        if (address is null) return null;
        if (address.IsIPv6LinkLocal) address.ScopeId = header.ifa_index;
        return new AssignedAddress((int)header.ifa_index, address, header.ifa_prefixlen) { Scope = (AddressScope)header.ifa_scope };
    }
}
