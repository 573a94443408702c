using System.Diagnostics;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Offload;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <summary>
/// Tells the sender of a packet what became of it, by an ICMP error written back to the device. Errors are limited in rate, and never sent
/// about ICMP errors, packets to or from a group or no single host, and fragments but the first (RFC 1122, 3.2.2; RFC 4443, 2.4 e).
/// </summary>
/// <remarks>
/// The error comes from the address that the packet was for. The kernel routes that address into the device, so the error passes strict
/// source checks (rp_filter) wherever it is forwarded; an address of this host would be dropped as a martian source, and an address that
/// is routed nowhere fails even loose checks. The kernel's own tunnels do the same.
/// </remarks>
internal sealed class IcmpErrors
{
    /// <summary>Errors a second and queue, and at once.</summary>
    private const int RatePerSecond = 1000, Burst = 64;

    /// <summary>Most bytes of an ICMPv4 error's packet (RFC 1812, 4.3.2.3).</summary>
    private const int MostV4 = 576;

    /// <summary>Most bytes of an ICMPv6 error's packet (RFC 4443, 2.4 c).</summary>
    private const int MostV6 = 1280;

    private const int Slots = 32;
    private const int SlotLength = 1344;
    private const byte TimeToLive = 64;

    private readonly PacketMemory _memory = new(Slots * SlotLength);
    private readonly TokenBucket _bucket = new(RatePerSecond, Burst);
    private int _used;

    /// <summary>Where what it writes lies.</summary>
    public PacketMemory Memory => _memory;

    /// <summary>Writes an error about a packet, unless there must be none.</summary>
    /// <param name="frame">The whole frame, from its Ethernet header, before anything in it is rewritten.</param>
    /// <param name="packet">The IP packet in it.</param>
    /// <param name="error">What to say.</param>
    /// <param name="sender">Whom to tell.</param>
    /// <param name="answers">Where the error goes; its bytes are valid until <paramref name="answers"/> is empty again.</param>
    /// <returns>True when it was written.</returns>
    public bool TryAnswer(ReadOnlySpan<byte> frame, in InnerPacket packet, in IcmpError error, MacAddress sender, GatherBatch answers)
    {
        if (answers.Count == 0) _used = 0;
        if (_used == Slots || !answers.Fits(1) || new MacAddress(frame).IsGroup) return false;
        if (!(packet.IsIpv4 ? MayAnswerV4(frame, packet) : packet.IsIpv6 && MayAnswerV6(frame, packet))) return false;
        if (!_bucket.TryTake(Stopwatch.GetTimestamp())) return false;
        int offset = _used++ * SlotLength;
        Span<byte> answer = _memory.Span(offset, SlotLength);
        EthernetFrame.TryParse(frame, out EthernetFrame ethernet);
        // With the VLAN tags that the packet has.
        sender.CopyTo(answer);
        ethernet.Destination.CopyTo(answer[MacAddress.Length..]);
        frame[(2 * MacAddress.Length)..packet.NetworkOffset].CopyTo(answer[(2 * MacAddress.Length)..]);
        Span<byte> ip = answer[packet.NetworkOffset..];
        int length = packet.NetworkOffset
            + (packet.IsIpv4 ? WriteV4(ip, frame[packet.NetworkOffset..packet.End], error) : WriteV6(ip, frame[packet.NetworkOffset..packet.End], error));
        answers.Add(new VirtioNetHeader(), [_memory.Slice(offset, length)], length);
        return true;
    }

    private static bool MayAnswerV4(ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        Ipv4Packet.TryParse(frame[packet.NetworkOffset..], out Ipv4Packet ip);
        if (ip.FragmentOffset != 0 || !IsHostV4(ip.Source) || !IsHostV4(ip.Destination)) return false;
        if (ip.Protocol != IpProtocols.Icmpv4) return true;
        // Of a message that is no error, or none that we know, nothing is said either way but for the queries (RFC 1122, 3.2.2).
        return Icmpv4Header.TryParse(ip.Payload, out Icmpv4Header icmp) == WireStatus.Ok
            && icmp.Type is Icmpv4Types.EchoRequest or Icmpv4Types.EchoReply or Icmpv4Types.TimestampRequest or Icmpv4Types.TimestampReply;
    }

    private static bool MayAnswerV6(ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        Ipv6Packet.TryParse(frame[packet.NetworkOffset..], out Ipv6Packet ip);
        if (ip.FragmentOffset != 0 || !IsHostV6(ip.Source) || !IsHostV6(ip.Destination)) return false;
        if (ip.UpperProtocol != IpProtocols.Icmpv6) return true;
        return Icmpv6Header.TryParse(ip.UpperPayload, out Icmpv6Header icmp) == WireStatus.Ok && !icmp.IsError;
    }

    /// <summary>An address of one host: neither zero, loopback, multicast, reserved nor broadcast.</summary>
    private static bool IsHostV4(uint address) => address >> 24 is not 0 and not 127 and < 224;

    private static bool IsHostV6(UInt128 address) => address > 1 && address >> 120 != 0xff;

    private static int WriteV4(Span<byte> answer, ReadOnlySpan<byte> packet, in IcmpError error)
    {
        const int headers = Ipv4Packet.MinHeaderLength + Icmpv4Header.Length;
        int quoted = Math.Min(packet.Length, MostV4 - headers);
        Ipv4Packet.TryParse(packet, out Ipv4Packet about);
        Ipv4Packet.WriteHeader(answer, new Ipv4Fields
        {
            // RFC 1812, 4.3.2.5: internetwork control.
            TrafficClass = 0xc0,
            TotalLength = headers + quoted,
            TimeToLive = TimeToLive,
            Protocol = IpProtocols.Icmpv4,
            Source = about.Destination,
            Destination = about.Source,
        });
        packet[..quoted].CopyTo(answer[headers..]);
        uint rest = error.Mtu == 0 ? 0 : (uint)Math.Clamp(error.Mtu, IcmpError.LeastMtuV4, ushort.MaxValue);
        Icmpv4Header.Write(answer[Ipv4Packet.MinHeaderLength..(headers + quoted)], error.TypeV4, error.CodeV4, rest);
        return headers + quoted;
    }

    private static int WriteV6(Span<byte> answer, ReadOnlySpan<byte> packet, in IcmpError error)
    {
        const int headers = Ipv6Packet.HeaderLength + Icmpv6Header.Length;
        int quoted = Math.Min(packet.Length, MostV6 - headers);
        Ipv6Packet.TryParse(packet, out Ipv6Packet about);
        Ipv6Packet.WriteHeader(answer, new Ipv6Fields
        {
            PayloadLength = Icmpv6Header.Length + quoted,
            NextHeader = IpProtocols.Icmpv6,
            HopLimit = TimeToLive,
            Source = about.Destination,
            Destination = about.Source,
        });
        packet[..quoted].CopyTo(answer[headers..]);
        uint rest = error.Mtu == 0 ? error.Pointer : (uint)Math.Max(error.Mtu, IcmpError.LeastMtuV6);
        Icmpv6Header.Write(answer[Ipv6Packet.HeaderLength..(headers + quoted)], about.Destination, about.Source, error.TypeV6, error.CodeV6, rest);
        return headers + quoted;
    }
}
