using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Offload;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <summary>
/// Puts the outer headers in front of a TCP super-packet, so that the kernel segments it inside the tunnel: {tunnel virtio-net header,
/// outer Ethernet, IP and UDP, tunnel and inner headers}, then the payload where it lies.
/// </summary>
internal sealed class TunnelSegmenter(EgressOptions options, HeaderArena arena, TrainBuilder trains)
{
    /// <summary>Most bytes in front of the tunnel header.</summary>
    public const int MaxPrefixLength = VirtioTunnelHeader.Size + EthernetFrame.MinHeaderLength + Ipv6Packet.HeaderLength + UdpHeader.HeaderLength;

    // Of the whole outer packet; IPv6 could carry 40 more, but a TAP device takes no more than 64 KB.
    private const int MaxIpLength = 65_535;

    /// <summary>Outer families whose super-packets are emitted. Any thread may change it between two packets.</summary>
    public volatile TunnelOffload Families = options.TunnelSuperPackets;

    /// <summary>
    /// Emits the super-packet whole, or as two where the outer packet would exceed 65,535 bytes; each has at least two segments, for the
    /// kernel takes nothing less for a super-packet.
    /// </summary>
    /// <param name="output">Has two free trains and four free slices.</param>
    /// <param name="flow">Where it goes.</param>
    /// <param name="super">A TCP super-packet whose headers start with the tunnel header.</param>
    /// <param name="offload">As the device delivered it.</param>
    /// <param name="memory">Where the payload lies.</param>
    /// <param name="payload">Offset of the payload in <paramref name="memory"/>.</param>
    /// <param name="segments">Segments of the super-packet.</param>
    /// <param name="tunnelHeader">Bytes of the tunnel header.</param>
    /// <param name="kernel">Outer families in which the kernel knows the segment's headers.</param>
    /// <returns>False when this way is closed for the super-packet; nothing was emitted then.</returns>
    public bool TryEmit(
        SendBatch output, in OuterFlow flow, SuperPacket super, in VirtioNetHeader offload, PacketMemory memory, int payload, int segments, int tunnelHeader,
        TunnelOffload kernel)
    {
        bool isIpv4 = flow.Peer.Endpoint.IsIPv4;
        if (TimeToLive(flow) == byte.MaxValue) return false;
        if ((Families & kernel & (isIpv4 ? TunnelOffload.Ipv4 : TunnelOffload.Ipv6)) == 0 || segments < 2) return false;
        int room = MaxIpLength - (isIpv4 ? Ipv4Packet.MinHeaderLength : Ipv6Packet.HeaderLength) - UdpHeader.HeaderLength - super.HeaderLength;
        int most = room / super.SegmentSize;
        int first = super.PayloadLength <= room ? segments : Math.Min(most, segments - 2);
        if (first < 2 || segments - first > most) return false;

        int offset = 0;
        for (int count = first; offset < super.PayloadLength; count = segments - first)
        {
            int length = Math.Min(count * super.SegmentSize, super.PayloadLength - offset);
            ref DatagramTrain train = ref trains.PlaceSuperPacket(output, flow);
            train.Packets = count;
            train.InnerBytes = ((long)count * (super.HeaderLength - tunnelHeader)) + length;
            train.SuperPackets = 1;
            output.AddSlice(WriteHeaders(flow, super, offload, offset, length));
            output.AddSlice(memory.Slice(payload + offset, length));
            offset += length;
        }
        return true;
    }

    private BufferSlice WriteHeaders(in OuterFlow flow, SuperPacket super, in VirtioNetHeader offload, int offset, int length)
    {
        UnderlayEndpoint peer = flow.Peer.Endpoint;
        int ipLength = peer.IsIPv4 ? Ipv4Packet.MinHeaderLength : Ipv6Packet.HeaderLength;
        int udp = EthernetFrame.MinHeaderLength + ipLength;
        int tunnel = udp + UdpHeader.HeaderLength;
        Span<byte> bytes = arena.Take(VirtioTunnelHeader.Size + tunnel + super.HeaderLength, out BufferSlice slice);
        Span<byte> frame = bytes[VirtioTunnelHeader.Size..];
        super.WriteHeaders(frame[tunnel..], offset, length);

        int udpLength = UdpHeader.HeaderLength + super.HeaderLength + length;
        ulong pseudoHeader = peer.IsIPv4 ? WriteOuterV4(frame, flow, udpLength) : WriteOuterV6(frame, flow, udpLength);

        // Unfinished on purpose, and never zero: a receiver merges nothing that has no outer checksum.
        ushort partial = InternetChecksum.Fold(pseudoHeader);
        UdpHeader.Write(frame[udp..], options.SourcePorts[flow.SourcePortIndex], peer.Port, udpLength, partial);
        MemoryMarshal.Write(bytes, new VirtioTunnelHeader
        {
            Inner = new VirtioNetHeader
            {
                Flags = VirtioNetFlags.NeedsChecksum | VirtioNetFlags.TunnelChecksum,
                GsoType = offload.GsoType | (peer.IsIPv4 ? VirtioGsoType.TunnelIpv4 : VirtioGsoType.TunnelIpv6),
                HeaderLength = (ushort)(tunnel + super.HeaderLength),
                SegmentSize = (ushort)super.SegmentSize,
                ChecksumStart = (ushort)(tunnel + super.TransportOffset),
                ChecksumOffset = offload.ChecksumOffset,
            },
            OuterTransportOffset = (ushort)udp,
            InnerNetworkOffset = (ushort)(tunnel + super.NetworkOffset),
        });
        return slice;
    }

    private ulong WriteOuterV4(Span<byte> frame, in OuterFlow flow, int udpLength)
    {
        uint destination = (uint)flow.Peer.Endpoint.Address;
        EthernetFrame.WriteHeader(frame, TunnelInjection.DeviceMac, TunnelInjection.SourceMac, EtherTypes.Ipv4);
        Ipv4Packet.WriteHeader(frame[EthernetFrame.MinHeaderLength..], new Ipv4Fields
        {
            TrafficClass = flow.TrafficClass,
            TotalLength = Ipv4Packet.MinHeaderLength + udpLength,
            DontFragment = true,
            TimeToLive = HopsBeforeForwarding(flow),
            Protocol = IpProtocols.Udp,
            Source = options.LocalV4,
            Destination = destination,
        });
        return InternetChecksum.PseudoHeaderV4(options.LocalV4, destination, IpProtocols.Udp, udpLength);
    }

    private ulong WriteOuterV6(Span<byte> frame, in OuterFlow flow, int udpLength)
    {
        UInt128 destination = flow.Peer.Endpoint.Address;
        EthernetFrame.WriteHeader(frame, TunnelInjection.DeviceMac, TunnelInjection.SourceMac, EtherTypes.Ipv6);
        Ipv6Packet.WriteHeader(frame[EthernetFrame.MinHeaderLength..], new Ipv6Fields
        {
            TrafficClass = flow.TrafficClass,
            // RFC 6438, 3: from the inner flow, as the source port is.
            FlowLabel = options.SourcePorts[flow.SourcePortIndex],
            PayloadLength = udpLength,
            NextHeader = IpProtocols.Udp,
            HopLimit = HopsBeforeForwarding(flow),
            Source = options.LocalV6,
            Destination = destination,
        });
        return InternetChecksum.PseudoHeaderV6(options.LocalV6, destination, IpProtocols.Udp, udpLength);
    }

    /// <summary>One hop more than on the wire: the kernel forwards what is injected. So 255 cannot be had this way.</summary>
    private byte HopsBeforeForwarding(in OuterFlow flow) => (byte)(TimeToLive(flow) + 1);

    private byte TimeToLive(in OuterFlow flow) => flow.TimeToLive == 0 ? options.TimeToLive : flow.TimeToLive;
}
