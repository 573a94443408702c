using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <summary>
/// Answers ARP requests and neighbour solicitations for addresses that have a route, and for the gateway itself, with the gateway's MAC: no
/// question crosses the overlay. Never answers duplicate address detection, which would take the address away from its owner.
/// </summary>
internal sealed class NeighborResponder
{
    private const int SlotLength = 96;
    private const int Slots = 64;

    private readonly PacketMemory _memory = new(Slots * SlotLength);

    /// <summary>Where what it writes lies.</summary>
    public PacketMemory Memory => _memory;

    /// <param name="request">An ARP request.</param>
    /// <param name="segment">Whose routes decide.</param>
    /// <param name="answers">Where the reply goes; its bytes are valid until <paramref name="answers"/> is empty again.</param>
    /// <returns>Null when answered; otherwise why not.</returns>
    public DropReason? AnswerArp(ArpPacket request, Segment segment, GatherBatch answers)
    {
        uint target = request.TargetAddress;
        if (request.SenderAddress == 0 || request.SenderAddress == target) return DropReason.EgressAddressProbe;
        if (target != RoutedGateway.AddressV4 && segment.Routes.LookupV4(target) == RouteTable.NoRoute) return DropReason.EgressNoRoute;
        return TryReply(request, RoutedGateway.Mac, answers) ? null : DropReason.EgressQueueFull;
    }

    /// <param name="frame">The frame that carries the solicitation.</param>
    /// <param name="packet">An ICMPv6 packet of type neighbour solicitation.</param>
    /// <param name="checksumUnfinished">True when the device left the checksum to us, so that there is none to check.</param>
    /// <param name="segment">Whose routes decide.</param>
    /// <param name="answers">Where the advertisement goes; its bytes are valid until <paramref name="answers"/> is empty again.</param>
    /// <returns>Null when answered; otherwise why not.</returns>
    public DropReason? AnswerSolicitation(
        ReadOnlySpan<byte> frame, in InnerPacket packet, bool checksumUnfinished, Segment segment, GatherBatch answers)
    {
        if (!NeighborDiscovery.TryParse(frame, packet, checksumUnfinished, out Ipv6Packet ip, out NeighborMessage solicitation)) return DropReason.EgressMalformed;
        if (ip.Source == UInt128.Zero) return DropReason.EgressAddressProbe;
        UInt128 target = solicitation.Target;
        if (target != RoutedGateway.AddressV6 && segment.Routes.LookupV6(target) == RouteTable.NoRoute) return DropReason.EgressNoRoute;
        NeighborFlags flags = NeighborFlags.Router | NeighborFlags.Solicited | NeighborFlags.Override;
        return TryAdvertise(frame, ip, solicitation, RoutedGateway.Mac, flags, answers) ? null : DropReason.EgressQueueFull;
    }

    /// <summary>Answers an ARP request with a MAC, in the name of that MAC.</summary>
    /// <returns>False when <paramref name="answers"/> is full.</returns>
    public bool TryReply(ArpPacket request, MacAddress mac, GatherBatch answers)
    {
        if (!Fits(answers)) return false;
        const int length = EthernetFrame.MinHeaderLength + ArpPacket.Length;
        Span<byte> frame = Add(answers, length);
        EthernetFrame.WriteHeader(frame, request.SenderMac, mac, EtherTypes.Arp);
        ArpPacket.Write(
            frame[EthernetFrame.MinHeaderLength..], ArpOperation.Reply, mac, request.TargetAddress, request.SenderMac, request.SenderAddress);
        return true;
    }

    /// <summary>Answers a neighbour solicitation with a MAC, in the name of that MAC.</summary>
    /// <param name="frame">The frame that carries the solicitation.</param>
    /// <param name="ip">Its IPv6 packet.</param>
    /// <param name="solicitation">Of a specified source.</param>
    /// <param name="mac">The target's.</param>
    /// <param name="flags">What the asker may conclude.</param>
    /// <param name="answers">Where the advertisement goes.</param>
    /// <returns>False when <paramref name="answers"/> is full.</returns>
    public bool TryAdvertise(
        ReadOnlySpan<byte> frame, Ipv6Packet ip, NeighborMessage solicitation, MacAddress mac, NeighborFlags flags, GatherBatch answers)
    {
        if (!Fits(answers)) return false;
        EthernetFrame.TryParse(frame, out EthernetFrame ethernet);
        MacAddress asker = solicitation.HasLinkLayerAddress ? solicitation.LinkLayerAddress : ethernet.Source;
        const int icmpOffset = EthernetFrame.MinHeaderLength + Ipv6Packet.HeaderLength;
        Span<byte> answer = Add(answers, icmpOffset + NeighborMessage.LengthWithLinkLayerAddress);
        EthernetFrame.WriteHeader(answer, asker, mac, EtherTypes.Ipv6);
        Ipv6Packet.WriteHeader(answer[EthernetFrame.MinHeaderLength..], new Ipv6Fields
        {
            PayloadLength = NeighborMessage.LengthWithLinkLayerAddress,
            NextHeader = IpProtocols.Icmpv6,
            HopLimit = NeighborDiscovery.HopLimit,
            Source = solicitation.Target,
            Destination = ip.Source,
        });
        NeighborMessage.WriteAdvertisement(answer[icmpOffset..], solicitation.Target, ip.Source, solicitation.Target, flags, mac);
        return true;
    }

    private static bool Fits(GatherBatch answers) => answers.Count < Slots && answers.Fits(1);

    private Span<byte> Add(GatherBatch answers, int length)
    {
        int offset = answers.Count * SlotLength;
        answers.Add(new VirtioNetHeader(), [_memory.Slice(offset, length)], length);
        return _memory.Span(offset, length);
    }
}
