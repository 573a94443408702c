using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Planning;
using Overlay.Control.Model;
using Overlay.Linux;
using Overlay.Linux.Netlink;
using Overlay.Wire;

namespace Overlay.Agent.Setup;

/// <summary>Gives a segment's device what its plan says, touching only what differs. Each step can be taken back.</summary>
internal sealed class DeviceConfigurator(Rtnetlink netlink, UndoStack undo)
{
    /// <summary>What a device has now; more than nothing where a persistent one was found.</summary>
    public DeviceState Read(string device)
    {
        Link link = Find(device);
        return new DeviceState(
            link.Index,
            link.Mtu,
            [.. netlink.ListAddresses(link.Index).Where(own => own.Scope == AddressScope.Global)
                .Select(own => new InterfaceAddress(own.Address, own.PrefixLength))],
            netlink.ListNeighbours(link.Index))
        {
            Master = link.Master,
        };
    }

    /// <summary>Sets the hardware address, keeps the kernel from talking on the device by itself, and sets it up.</summary>
    /// <returns>Null, or what the kernel refused and is done without.</returns>
    public string? Prepare(string device, MacAddress mac)
    {
        Link link = Find(device);
        if (link.Mac != mac) netlink.SetMac(link.Index, mac);
        // Without a link-local address the kernel sends no router solicitations and multicast reports, which would only be dropped. The
        // setting is the device's and goes with it.
        string? refusal = Sysctl.TrySet($"net/ipv6/conf/{device}/addr_gen_mode", "1");
        netlink.SetUp(link.Index, up: true);
        return refusal;
    }

    /// <summary>
    /// Turns one state into another as far as that adds something. What goes is left to <see cref="Shrink"/>, for when routes that need it are
    /// changed as well: those which stay are never without their source address.
    /// </summary>
    public void Grow(DeviceState from, DeviceState to)
    {
        if (from.Mtu != to.Mtu)
        {
            netlink.SetMtu(to.InterfaceIndex, to.Mtu);
            undo.Push(() => netlink.SetMtu(to.InterfaceIndex, from.Mtu));
        }
        if (to.Master is { } master && from.Master != master)
        {
            netlink.SetMaster(to.InterfaceIndex, master);
            undo.Push(() => netlink.SetMaster(to.InterfaceIndex, from.Master ?? 0));
        }
        foreach (InterfaceAddress address in to.Addresses.Except(from.Addresses))
        {
            netlink.AddAddress(OnDevice(address, to));
            undo.Push(() => netlink.DeleteAddress(OnDevice(address, to)));
        }
        foreach (Neighbour neighbour in to.Neighbours.Except(from.Neighbours))
        {
            netlink.SetNeighbour(neighbour);
            undo.Push(() => netlink.DeleteNeighbour(neighbour.InterfaceIndex, neighbour.Address));
        }
    }

    /// <summary>Takes away what one state has and the other has not.</summary>
    public void Shrink(DeviceState from, DeviceState to)
    {
        foreach (Neighbour neighbour in from.Neighbours.ExceptBy(to.Neighbours.Select(other => other.Address), own => own.Address))
        {
            netlink.DeleteNeighbour(neighbour.InterfaceIndex, neighbour.Address);
            undo.Push(() => netlink.SetNeighbour(neighbour));
        }
        foreach (InterfaceAddress address in from.Addresses.Except(to.Addresses))
        {
            netlink.DeleteAddress(OnDevice(address, from));
            undo.Push(() => netlink.AddAddress(OnDevice(address, from)));
        }
    }

    /// <summary>What a device is to have.</summary>
    /// <exception cref="StartRefusedException">The segment's bridge is gone, or IPv6 is off on a device that is to have some.</exception>
    public DeviceState Wanted(SegmentPlan segment, int interfaceIndex)
    {
        DeviceState wanted = DeviceState.Of(segment, interfaceIndex) with { Master = segment.Bridge is null ? null : MasterOf(segment.Bridge) };
        IPAddress? first = wanted.Addresses.Select(own => own.Address).Concat(segment.Prefixes.Concat(segment.Local).Select(prefix => prefix.BaseAddress))
            .FirstOrDefault(address => address.AddressFamily == AddressFamily.InterNetworkV6);
        if (first is not null) RequireIpv6(segment, first);
        return wanted;
    }

    // The kernel would say no more than "permission denied".
    private static void RequireIpv6(SegmentPlan segment, IPAddress wanted)
    {
        string? disabled = Sysctl.Read($"net/ipv6/conf/{segment.Device}/disable_ipv6");
        if (disabled == "0") return;
        const string Other = "take the IPv6 addresses and routes out of the segment";
        if (disabled is null)
            throw new StartRefusedException($"segment '{segment.Name}' has the IPv6 address or route {wanted}, but the kernel has no IPv6", $"start the kernel with it, or {Other}");
        throw new StartRefusedException(
            $"segment '{segment.Name}' has the IPv6 address or route {wanted}, but IPv6 is disabled on its device '{segment.Device}' (disable_ipv6 is {disabled})",
            $"enable it (sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0), or {Other}");
    }

    private int MasterOf(string bridge) => netlink.FindLink(bridge) is { Kind: "bridge" } found
        ? found.Index
        : throw new StartRefusedException($"the bridge '{bridge}' does not exist", $"make it (ip link add {bridge} type bridge)");

    private Link Find(string device) =>
        netlink.FindLink(device) ?? throw new StartRefusedException($"the device '{device}' is gone", "start overlayd again");

    private static AssignedAddress OnDevice(InterfaceAddress address, DeviceState device) =>
        new(device.InterfaceIndex, address.Address, address.PrefixLength);
}
