using System.Net.NetworkInformation;
using Overlay.Wire.Decoding;
using PacketDotNet;

namespace Overlay.PacketNet;

/// <summary>Finds the outermost tunnel of an Ethernet frame with PacketDotNet, which knows VXLAN on port 4789 and IP in IP.</summary>
public static class PacketNetDecoder
{
    /// <param name="frame">An Ethernet frame; PacketDotNet keeps and reads the array.</param>
    public static TunnelFields Read(byte[] frame)
    {
        Packet packet = Packet.ParsePacket(LinkLayers.Ethernet, frame);
        return packet.Extract<IPPacket>()?.PayloadPacket switch
        {
            UdpPacket { PayloadPacket: VxlanPacket vxlan } udp => Read((IPPacket)udp.ParentPacket, udp, vxlan),
            IPPacket inner => Read((IPPacket)inner.ParentPacket, inner),
            _ => TunnelFields.None,
        };
    }

    private static TunnelFields Read(IPPacket outer, UdpPacket udp, VxlanPacket vxlan)
    {
        var ethernet = (EthernetPacket)vxlan.PayloadPacket;
        IPPacket? inner = ethernet.PayloadPacket as IPPacket ?? ethernet.Extract<IPPacket>();
        return new(
            TunnelKind.Vxlan, vxlan.Vni, vxlan.Flags, outer.SourceAddress, outer.DestinationAddress, udp.SourcePort, udp.DestinationPort,
            Text(ethernet.SourceHardwareAddress), Text(ethernet.DestinationHardwareAddress), inner?.SourceAddress, inner?.DestinationAddress);
    }

    private static TunnelFields Read(IPPacket outer, IPPacket inner)
    {
        TunnelKind kind = (outer, inner) switch
        {
            (IPv4Packet, IPv4Packet) => TunnelKind.Ipv4InIpv4,
            (IPv4Packet, _) => TunnelKind.Ipv6InIpv4,
            (_, IPv4Packet) => TunnelKind.Ipv4InIpv6,
            _ => TunnelKind.Ipv6InIpv6,
        };
        return TunnelFields.None with
        {
            Tunnel = kind,
            OuterSource = outer.SourceAddress,
            OuterDestination = outer.DestinationAddress,
            InnerSource = inner.SourceAddress,
            InnerDestination = inner.DestinationAddress,
        };
    }

    private static string Text(PhysicalAddress address) =>
        string.Join(':', address.GetAddressBytes().Select(octet => octet.ToString("x2", System.Globalization.CultureInfo.InvariantCulture)));
}
