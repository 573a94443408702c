using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;
using Overlay.Wire.Tests;

namespace Overlay.Fuzz.Targets;

/// <summary>
/// Every view of Overlay.Wire, every accessor, the checksum, the tunnel encapsulation limit, what ICMP errors quote, and the inner packet with
/// its offsets.
/// </summary>
internal sealed class ViewTarget(GuardedMemory memory) : IFuzzTarget
{
    public string Name => "views and inner packets";

    public int Share => 500;

    public void Run(Random random, InputSource inputs, int count, Verdicts verdicts)
    {
        for (int i = 0; i < count; i++)
        {
            Span<byte> bytes = memory.AtEnd(inputs.Frame());
            EveryView.ReadLayers(bytes);
            // Anywhere in the frame, so that each parser meets headers of its own kind and of others.
            Span<byte> tail = bytes[Math.Min(bytes.Length, random.Next(4) switch { 0 => 0, 1 => 14, 2 => 42, _ => random.Next(100) })..];
            EveryView.Read(tail);
            _ = InternetChecksum.Add(tail);
            FindLimit(tail);
            if (InnerPacket.TryParse(tail, out InnerPacket packet) == WireStatus.Ok) Check(packet, tail.Length);
            if (InnerPacket.TryParseFrame(tail, out packet) == WireStatus.Ok) Check(packet, tail.Length);
            ushort etherType = random.Next(2) == 0 ? EtherTypes.Ipv4 : EtherTypes.Ipv6;
            if (tail.Length >= EthernetFrame.MinHeaderLength && InnerPacket.TryParseBare(tail, etherType, out packet) == WireStatus.Ok)
                Check(packet, tail.Length);
            // The ICMP header takes the place of the end of an untagged frame's Ethernet header.
            Quote(bytes[Math.Min(bytes.Length, random.Next(4) == 0 ? random.Next(60) : EthernetFrame.MinHeaderLength - Icmpv4Header.Length)..], random);
        }
    }

    private static void FindLimit(ReadOnlySpan<byte> bytes)
    {
        if (Ipv6Packet.TryParse(bytes, out Ipv6Packet ip) != WireStatus.Ok) return;
        int length = Ipv6Packet.HeaderLength + ip.PayloadLength;
        int limit = TunnelEncapsulationLimit.Find(bytes[..length], out int offset);
        if (limit >= 0 && (offset >= length || bytes[offset] != limit)) throw new InvalidOperationException($"a limit of {limit} at {offset} of {length} bytes");
    }

    private static void Quote(Span<byte> message, Random random)
    {
        bool isIpv6 = random.Next(8) == 0 || (message.Length > Icmpv4Header.Length && message[Icmpv4Header.Length] >> 4 == 6);
        // Mostly of the right kind and with a right checksum, without which nothing behind is reached.
        if (message.Length >= Icmpv4Header.Length && random.Next(8) != 0)
        {
            (message[0], message[1]) = isIpv6 ? (Icmpv6Types.PacketTooBig, (byte)0) : (Icmpv4Types.DestinationUnreachable, Icmpv4Types.FragmentationNeeded);
            InternetChecksum.Store(message[2..], 0);
            InternetChecksum.Store(message[2..], InternetChecksum.Finish(InternetChecksum.Add(message)));
        }
        if (TooBigQuote.TryParse(message, isIpv6, out TooBigQuote quote) && (quote.Mtu < 0 || (quote.Mtu != 0 && quote.Mtu >= quote.Length)))
            throw new InvalidOperationException($"a packet of {quote.Length} bytes was too big for {quote.Mtu}");
    }

    private static void Check(in InnerPacket packet, int length)
    {
        bool isOrdered = packet.NetworkOffset <= packet.TransportOffset && packet.TransportOffset <= packet.HeadersEnd
            && packet.HeadersEnd <= packet.TransportEnd && packet.TransportEnd <= packet.End && packet.End <= length;
        if (!isOrdered) throw new InvalidOperationException($"the offsets of an inner packet lie outside its {length} bytes");
    }
}
