using Overlay.Agent.Planning;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Agent.Capture;

/// <summary>
/// Puts the outer headers before what the daemon hands to a socket or gets from one, as they are on the wire. What a socket does not tell is
/// filled in: MAC addresses are zero, and received packets have a TTL of 64.
/// </summary>
internal sealed class OuterHeaders(NodePlan plan)
{
    private const byte UnknownTimeToLive = 64;
    private const int MostLength = EthernetFrame.MinHeaderLength + Ipv6Packet.HeaderLength + TunnelEncapsulationLimit.HeaderLength + UdpHeader.HeaderLength;

    private readonly UInt128 _localV4 = plan.Underlay.AddressV4 is { } v4 ? IpBits.V6OrMapped(v4) : IpBits.Mapped(0);
    private readonly UInt128 _localV6 = plan.Underlay.AddressV6 is { } v6 ? IpBits.V6OrMapped(v6) : 0;
    private readonly byte[] _headers = new byte[MostLength];

    /// <param name="record">An outer packet.</param>
    /// <param name="start">First bytes of what follows the headers.</param>
    /// <param name="rest">The bytes behind them, as far as they were kept.</param>
    /// <param name="length">Bytes that follow the headers.</param>
    /// <returns>Valid until the next call.</returns>
    public ReadOnlySpan<byte> Write(in PacketRecord record, ReadOnlySpan<byte> start, ReadOnlySpan<byte> rest, int length)
    {
        bool isIpv4 = record.Remote.IsIPv4;
        UInt128 local = isIpv4 ? _localV4 : _localV6;
        (UInt128 source, UInt128 destination) = record.IsEgress ? (local, record.Remote.Address) : (record.Remote.Address, local);
        byte protocol = record.Protocol == 0 ? IpProtocols.Udp : record.Protocol;
        bool hasLimit = !isIpv4 && record.EncapsulationLimit != DatagramTrain.NoLimit;
        int transportLength = length + (record.Protocol == 0 ? UdpHeader.HeaderLength : 0);
        byte timeToLive = record.TimeToLive == 0 ? UnknownTimeToLive : record.TimeToLive;

        EthernetFrame.WriteHeader(_headers, default, default, isIpv4 ? EtherTypes.Ipv4 : EtherTypes.Ipv6);
        Span<byte> ip = _headers.AsSpan(EthernetFrame.MinHeaderLength);
        int ipLength = isIpv4 ? Ipv4Packet.MinHeaderLength : Ipv6Packet.HeaderLength;
        if (isIpv4)
        {
            Ipv4Packet.WriteHeader(ip, new Ipv4Fields
            {
                TrafficClass = record.TrafficClass,
                TotalLength = ipLength + transportLength,
                DontFragment = true,
                TimeToLive = timeToLive,
                Protocol = protocol,
                Source = (uint)source,
                Destination = (uint)destination,
            });
        }
        else
        {
            Ipv6Packet.WriteHeader(ip, new Ipv6Fields
            {
                TrafficClass = record.TrafficClass,
                FlowLabel = record.SourcePort,
                PayloadLength = transportLength + (hasLimit ? TunnelEncapsulationLimit.HeaderLength : 0),
                NextHeader = hasLimit ? IpProtocols.DestinationOptions : protocol,
                HopLimit = timeToLive,
                Source = source,
                Destination = destination,
            });
            if (hasLimit)
            {
                TunnelEncapsulationLimit.Write(ip[ipLength..], protocol, (byte)record.EncapsulationLimit);
                ipLength += TunnelEncapsulationLimit.HeaderLength;
            }
        }
        int end = EthernetFrame.MinHeaderLength + ipLength;
        if (record.Protocol != 0) return _headers.AsSpan(0, end);
        WriteUdp(_headers.AsSpan(end), record, source, destination, start, rest, length);
        return _headers.AsSpan(0, end + UdpHeader.HeaderLength);
    }

    private void WriteUdp(Span<byte> udp, in PacketRecord record, UInt128 source, UInt128 destination, ReadOnlySpan<byte> start, ReadOnlySpan<byte> rest, int length)
    {
        ushort listening = (ushort)plan.Options.PortOf(record.Encapsulation);
        (ushort from, ushort to) = record.IsEgress ? (record.SourcePort, record.Remote.Port) : (record.Remote.Port, listening);
        int udpLength = UdpHeader.HeaderLength + length;
        UdpHeader.Write(udp, from, to, udpLength);
        // Of a packet that was cut short the sum cannot be known.
        if (start.Length + rest.Length < length) return;
        ulong pseudoHeader = record.Remote.IsIPv4
            ? InternetChecksum.PseudoHeaderV4((uint)source, (uint)destination, IpProtocols.Udp, udpLength)
            : InternetChecksum.PseudoHeaderV6(source, destination, IpProtocols.Udp, udpLength);
        ulong sum = InternetChecksum.Add(udp[..UdpHeader.HeaderLength], pseudoHeader);
        // Parts of a sum begin at even offsets; headers have odd lengths nowhere.
        sum = InternetChecksum.Add(rest, InternetChecksum.Add(start, sum));
        InternetChecksum.Store(udp[UdpHeader.ChecksumOffset..], InternetChecksum.FinishUdp(sum));
    }
}
