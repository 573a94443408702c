using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Bridging;

/// <summary>
/// Learns neighbours from what they say of themselves: ARP of either operation, neighbour advertisements. A solicitation does not tell
/// whether its sender is a router, which an answer in its name would have to say; it only confirms what is known.
/// </summary>
internal static class NeighbourSnooping
{
    /// <returns>False when there was no room; true also where there was nothing to learn.</returns>
    /// <inheritdoc cref="Bridge.ObserveNeighbour"/>
    public static bool Observe(NeighbourTable table, ReadOnlySpan<byte> frame, in InnerPacket packet, bool unfinished, long now, long ageing)
    {
        if (packet.EtherType == EtherTypes.Arp)
        {
            return ArpPacket.TryParse(frame[packet.NetworkOffset..], out ArpPacket arp) != WireStatus.Ok
                || arp.Operation is not (ArpOperation.Request or ArpOperation.Reply)
                || !IsOf(frame, arp.SenderMac) || Martians.IsMartian(IpBits.Mapped(arp.SenderAddress))
                || table.Learn(IpBits.Mapped(arp.SenderAddress), new BridgeNeighbour(arp.SenderMac, false), overrides: true, now, ageing);
        }
        if (!packet.IsIpv6 || packet.Protocol != IpProtocols.Icmpv6 || packet.IsFragment || packet.TransportOffset == packet.End
            || frame[packet.TransportOffset] is not (Icmpv6Types.NeighborSolicitation or Icmpv6Types.NeighborAdvertisement)
            || !NeighborDiscovery.TryParse(frame, packet, unfinished, out Ipv6Packet ip, out NeighborMessage message)
            || !message.HasLinkLayerAddress || !IsOf(frame, message.LinkLayerAddress)) return true;
        UInt128 address = message.IsSolicitation ? ip.Source : message.Target;
        if (IpBits.IsMapped(address) || Martians.IsMartian(address)) return true;
        if (message.IsSolicitation)
        {
            table.Confirm(address, message.LinkLayerAddress, now);
            return true;
        }
        var neighbour = new BridgeNeighbour(message.LinkLayerAddress, (message.Flags & NeighborFlags.Router) != 0);
        return table.Learn(address, neighbour, (message.Flags & NeighborFlags.Override) != 0, now, ageing);
    }

    /// <summary>True where the frame comes from the MAC that it speaks of: nobody speaks for others here.</summary>
    private static bool IsOf(ReadOnlySpan<byte> frame, MacAddress mac) => MacBits.Source(frame) == MacBits.Of(mac);
}
