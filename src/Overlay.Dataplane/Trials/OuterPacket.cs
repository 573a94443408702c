using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Trials;

/// <summary>
/// Writes the outer headers that the kernel puts in front of a datagram that it is given at a socket, so that a trial can show the whole
/// packet. <c>ExplainTests</c> compares them with what is on a wire.
/// </summary>
/// <param name="options">Of the worker.</param>
/// <param name="zeroChecksumV4">UDP over IPv4 leaves without a checksum.</param>
/// <param name="zeroChecksumV6">UDP over IPv6 leaves without a checksum.</param>
public sealed class OuterPacket(EgressOptions options, bool zeroChecksumV4, bool zeroChecksumV6)
{
    /// <summary>The packet from its outer IP header on.</summary>
    /// <param name="train">How it is sent.</param>
    /// <param name="index">
    /// Of the datagram in the train: the kernel numbers the IPv4 packets of one from 0. Of packets that may be fragmented it chooses the
    /// identification, which is 0 here.
    /// </param>
    public byte[] Write(TrialTrain train, int index)
    {
        byte[] datagram = train.Datagrams[index];
        DatagramTrain how = train.Train;
        if (how.Kind == TrainKind.TunnelSuperPacket) return datagram[(VirtioTunnelHeader.Size + EthernetFrame.MinHeaderLength)..];
        bool isIpv4 = how.Peer.Endpoint.IsIPv4;
        bool isLimited = how.Protocol != 0 && !isIpv4 && how.EncapsulationLimit != DatagramTrain.NoLimit;
        int ip = isIpv4 ? Ipv4Packet.MinHeaderLength : Ipv6Packet.HeaderLength;
        int between = how.Protocol == 0 ? UdpHeader.HeaderLength : isLimited ? TunnelEncapsulationLimit.HeaderLength : 0;
        byte[] packet = new byte[ip + between + datagram.Length];
        datagram.CopyTo(packet, ip + between);
        if (isLimited) TunnelEncapsulationLimit.Write(packet.AsSpan(ip), how.Protocol, (byte)how.EncapsulationLimit);
        byte protocol = isLimited ? IpProtocols.DestinationOptions : how.Protocol == 0 ? IpProtocols.Udp : how.Protocol;
        byte hops = how.TimeToLive == 0 ? options.TimeToLive : how.TimeToLive;
        if (isIpv4) WriteV4(packet, how, protocol, hops, index);
        else WriteV6(packet, how, protocol, hops);
        if (how.Protocol == 0) WriteUdp(packet.AsSpan(ip), how);
        return packet;
    }

    private void WriteV4(Span<byte> packet, in DatagramTrain how, byte protocol, byte hops, int index) => Ipv4Packet.WriteHeader(packet, new Ipv4Fields
    {
        TrafficClass = how.TrafficClass,
        TotalLength = packet.Length,
        Identification = (ushort)(how.Protocol == 0 ? index : 0),
        DontFragment = !how.MayFragment,
        TimeToLive = hops,
        Protocol = protocol,
        Source = options.LocalV4,
        Destination = (uint)how.Peer.Endpoint.Address,
    });

    private void WriteV6(Span<byte> packet, in DatagramTrain how, byte protocol, byte hops) => Ipv6Packet.WriteHeader(packet, new Ipv6Fields
    {
        TrafficClass = how.TrafficClass,
        FlowLabel = how.Protocol == 0 ? options.SourcePorts[how.SourcePortIndex] : OuterFlowLabel.OfIpInIp(how.SourcePortIndex),
        PayloadLength = packet.Length - Ipv6Packet.HeaderLength,
        NextHeader = protocol,
        HopLimit = hops,
        Source = options.LocalV6,
        Destination = how.Peer.Endpoint.Address,
    });

    private void WriteUdp(Span<byte> datagram, in DatagramTrain how)
    {
        UnderlayEndpoint to = how.Peer.Endpoint;
        UdpHeader.Write(datagram, options.SourcePorts[how.SourcePortIndex], to.Port, datagram.Length);
        if (to.IsIPv4 ? zeroChecksumV4 : zeroChecksumV6) return;
        ulong pseudoHeader = to.IsIPv4
            ? InternetChecksum.PseudoHeaderV4(options.LocalV4, (uint)to.Address, IpProtocols.Udp, datagram.Length)
            : InternetChecksum.PseudoHeaderV6(options.LocalV6, to.Address, IpProtocols.Udp, datagram.Length);
        InternetChecksum.Store(datagram[UdpHeader.ChecksumOffset..], InternetChecksum.FinishUdp(InternetChecksum.Add(datagram, pseudoHeader)));
    }
}
