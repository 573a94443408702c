using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>IP packets that arrive without an Ethernet header.</summary>
public sealed class BareIpTests
{
    private const byte Protocol = 253;

    /// <summary>RFC 4213, 3.6: what is behind the packet's end by its own length is not the packet's.</summary>
    [Theory]
    [InlineData(Encapsulation.IpInIp)]
    [InlineData(Encapsulation.Geneve)]
    public void Process_PaddingBehindThePacket_DoesNotReachTheDevice(Encapsulation encapsulation)
    {
        var node = new IngressNode(new MacAddress(PlainPacket.DeviceMac), new TunnelFormat { Encapsulation = encapsulation, IsBareIp = true });
        byte[] packet = new byte[24];
        Ipv4Packet.WriteHeader(packet, new Ipv4Fields
        {
            TotalLength = packet.Length,
            TimeToLive = 64,
            Protocol = Protocol,
            Source = 0x0a_00_00_05,
            Destination = 0x0a_00_00_06,
        });
        byte[] padded = [.. packet, 1, 2, 3, 4, 5];
        if (encapsulation == Encapsulation.IpInIp) node.Underlay.DeliverIpInIp(IngressNode.PeerV4, padded, IpProtocols.Ipv4InIp);
        else node.Underlay.Deliver(IngressNode.PeerV4, [0, 0, 8, 0, 0, 0, (byte)IngressNode.Vni, 0, .. padded], encapsulation: encapsulation);
        node.Run();

        Assert.Equal(packet, Assert.Single(node.Device.Written).Bytes[EthernetFrame.MinHeaderLength..]);
    }
}
