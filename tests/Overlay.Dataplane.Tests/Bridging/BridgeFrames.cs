using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Bridging;

/// <summary>Frames for a bridged segment.</summary>
internal static class BridgeFrames
{
    /// <summary>02:00:00:00:0a:<paramref name="last"/>.</summary>
    public static MacAddress Host(byte last) => new([2, 0, 0, 0, 0x0a, last]);

    /// <summary>A frame of an EtherType for experiments (IEEE 802, 9.2.3.5), numbered.</summary>
    public static byte[] Plain(MacAddress destination, MacAddress source, int number = 0, params VlanTag[] tags)
    {
        byte[] frame = new byte[64];
        int header = EthernetFrame.WriteHeader(frame, destination, source, tags, 0x88b5);
        BitConverter.TryWriteBytes(frame.AsSpan(header), number);
        return frame;
    }

    /// <summary>Gives a frame made elsewhere other addresses.</summary>
    public static byte[] Addressed(byte[] frame, MacAddress destination, MacAddress source)
    {
        destination.CopyTo(frame);
        source.CopyTo(frame.AsSpan(MacAddress.Length));
        return frame;
    }

    public static byte[] Arp(ArpOperation operation, MacAddress source, uint sender, uint target, MacAddress? senderMac = null)
    {
        byte[] frame = new byte[60];
        EthernetFrame.WriteHeader(frame, MacAddress.Broadcast, source, EtherTypes.Arp);
        ArpPacket.Write(frame.AsSpan(14), operation, senderMac ?? source, sender, default, target);
        return frame;
    }

    public static byte[] Solicitation(MacAddress source, UInt128 sender, UInt128 target)
    {
        UInt128 group = new(0xff02_0000_0000_0000, 0x0000_0001_ff00_0000 | ((ulong)target & 0xffffff));
        return Discovery(new MacAddress([0x33, 0x33, 0xff, 0, 0, (byte)target]), source, sender, group, message =>
            NeighborMessage.WriteSolicitation(message, sender, group, target, sender == 0 ? null : source));
    }

    public static byte[] Advertisement(MacAddress source, UInt128 target, NeighborFlags flags, MacAddress? mac = null)
    {
        UInt128 group = new(0xff02_0000_0000_0000, 1);
        return Discovery(new MacAddress([0x33, 0x33, 0, 0, 0, 1]), source, target, group, message =>
            NeighborMessage.WriteAdvertisement(message, target, group, target, flags, mac ?? source));
    }

    /// <summary>An IPv4 or IPv6 UDP frame between hosts, of so many bytes of IP.</summary>
    public static byte[] Udp(MacAddress destination, MacAddress source, bool ipv6, int length, bool dontFragment = true, params VlanTag[] tags)
    {
        byte[] frame = new InnerFrame
        {
            IsIpv6 = ipv6,
            IsUdp = true,
            Source = ipv6 ? EgressLab.V6(9, 1) : EgressLab.V4(9, 1),
            Destination = ipv6 ? EgressLab.V6(9, 2) : EgressLab.V4(9, 2),
            Payload = new byte[length - (ipv6 ? 48 : 28)],
            Tags = tags,
        }.Finished();
        if (!dontFragment) frame[14 + (4 * tags.Length) + 6] &= 0xbf;
        return Addressed(frame, destination, source);
    }

    private delegate int Writer(Span<byte> message);

    private static byte[] Discovery(MacAddress destination, MacAddress source, UInt128 sender, UInt128 group, Writer write)
    {
        byte[] frame = new byte[14 + 40 + 32];
        EthernetFrame.WriteHeader(frame, destination, source, EtherTypes.Ipv6);
        int length = write(frame.AsSpan(54));
        Ipv6Packet.WriteHeader(frame.AsSpan(14), new Ipv6Fields
        {
            PayloadLength = length,
            NextHeader = IpProtocols.Icmpv6,
            HopLimit = 255,
            Source = sender,
            Destination = group,
        });
        return frame[..(54 + length)];
    }
}
