using System.Net;

namespace Overlay.SystemTests.Traffic;

/// <summary>Messages of neighbour discovery (RFC 4861) from a link-local address to all nodes of the link, as frames.</summary>
internal static class ForgedDiscovery
{
    public const string Source = "fe80::bad";

    private const string AllNodes = "ff02::1";
    private const byte Icmpv6 = 58;

    /// <summary>4.4, with Override set: the target is reached at a MAC.</summary>
    public static byte[] Neighbour(string mac, string target) =>
        Frame(mac, [136, 0, 0, 0, 0x20, 0, 0, 0, .. IPAddress.Parse(target).GetAddressBytes(), 2, 1, .. PlainBytes.Mac(mac)]);

    /// <summary>4.2: a default router for half an hour.</summary>
    public static byte[] Router(string mac) => Frame(mac, [134, 0, 0, 0, 64, 0, .. PlainBytes.Word(1800), 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, .. PlainBytes.Mac(mac)]);

    private static byte[] Frame(string mac, byte[] message)
    {
        byte[] pseudo =
        [
            .. IPAddress.Parse(Source).GetAddressBytes(), .. IPAddress.Parse(AllNodes).GetAddressBytes(), 0, 0, .. PlainBytes.Word(message.Length), 0, 0, 0, Icmpv6,
        ];
        PlainBytes.Word(PlainBytes.Checksum([.. pseudo, .. message])).CopyTo(message, 2);
        return [0x33, 0x33, 0, 0, 0, 1, .. PlainBytes.Mac(mac), 0x86, 0xdd, .. PlainBytes.Ipv6(Source, AllNodes, Icmpv6, message, hopLimit: 255)];
    }
}
